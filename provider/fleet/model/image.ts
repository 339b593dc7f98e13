/** Images as values: whoever plans, orders or books a copy says of what, and never its content and its size apart. */

/** One disk of an image. */
export interface ImageDisk {
  /** What a copy of the disk moves between hosts, and writes where it arrives. */
  bytes: number;
}

/** A template's content, which members are cloned from. Two images with one content id are one image. */
export interface Image {
  /** sha256, hex; see DESIGN.md section 1, content id. "": the template was never seen, so that nobody can tell. */
  contentId: string;
  /** In the template's order. Empty: the image is where it is wanted, and nothing of it is copied any more. */
  disks: readonly ImageDisk[];
}
