/** Images as values. */

/** One disk of an image. */
export interface ImageDisk {
  /** What a copy of it moves, and writes. */
  bytes: number;
}

/** What members are cloned from: a template's content. */
export interface Image {
  /** See DESIGN.md section 1. "": it could not be told, as the template was never seen. */
  contentId: string;
  /** In the template's order. None: nothing of it is to be copied any more. */
  disks: readonly ImageDisk[];
}
