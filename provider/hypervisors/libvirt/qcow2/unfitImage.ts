/** What cannot be a template, in one sentence: what it is, and the way out. Nothing else is thrown by those who read images. */
export class UnfitImageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UnfitImageError";
  }
}

/** Of a file. What lies past its end is left out of the answer, which may be empty. */
export type ReadAt = (offsetBytes: number, lengthBytes: number) => Promise<Buffer>;
