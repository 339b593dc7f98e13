import { posix } from "node:path";
import { clean, isImage, lastName, type ImageFacts, type NamedImage } from "./domainImages";

/** Where a name may begin or end among other words: every character that `mentions` of domainImages.ts takes for an end, and more. */
const BREAK = /[/=:,;"'\\?&\s]/;

/**
 * Images as they are named, each with what it is told for. Asked for one image it compares only those that have its
 * path, its directory, its volume, or the first word of its last name in them: `isImage` says the rest, and finds among
 * these what it would find among all.
 */
export class ImageIndex<T> {
  private readonly byKey = new Map<string, { named: NamedImage; of: T; order: number }[]>();
  private size = 0;

  add(named: NamedImage, of: T): void {
    const entry = { named, of, order: this.size++ };
    for (const key of keysOf(named)) {
      const there = this.byKey.get(key);
      if (there) there.push(entry);
      else this.byKey.set(key, [entry]);
    }
  }

  /** In the order in which they were added. @param compared is told how many were looked at */
  find(image: ImageFacts, compared?: (count: number) => void): { named: NamedImage; of: T; match: "same" | "alike" }[] {
    const lists = questionsOf(image).flatMap((key) => this.byKey.get(key) ?? []);
    const candidates = [...new Set(lists)].sort((a, b) => a.order - b.order);
    compared?.(candidates.length);
    return candidates.flatMap(({ named, of }) => {
      const match = isImage(named, image);
      return match ? [{ named, of, match }] : [];
    });
  }
}

const directoryKey = (directory: string): string => `directory ${clean(`${directory}/`)}`;

/** Under which an image is found: as many as there are words in its path. */
function keysOf({ volume, directory, path }: NamedImage): Iterable<string> {
  if (volume !== undefined) return [`volume ${volume}`];
  if (directory !== undefined) return [directoryKey(directory)];
  if (path === undefined) return [];
  return new Set([`path ${clean(path)}`, ...path.split(BREAK).map((word) => `word ${word}`)]);
}

function questionsOf({ path, volume }: ImageFacts): string[] {
  const name = lastName(path);
  return [
    `volume ${volume ?? name}`, directoryKey(posix.dirname(clean(path))), `path ${clean(path)}`, `word ${name.split(BREAK, 1)[0]!}`,
  ];
}
