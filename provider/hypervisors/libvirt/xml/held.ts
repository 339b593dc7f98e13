/** What of a member's definition no path of `vm.xml` may change: where its data is, and what its cards are called. */
import { XMLSerializer } from "@xmldom/xmldom";
import { allBelow, attribute, below, children, type Element } from "./definition";

interface Held {
  disks: { places: string; isShareable: boolean }[];
  macs: (string | undefined)[];
  /** Of its firmware's variables and its TPM. */
  places: string[];
}

/** As a text that differs where the places do. */
const written = (elements: readonly Element[]): string => elements.map((one) => new XMLSerializer().serializeToString(one)).join("");

/** What a disk is read from, and how. */
export const placesOf = (disk: Element | undefined): string => JSON.stringify(disk && [
  attribute(disk, "type"), attribute(below(disk, "driver"), "type"), written(["source", "backingStore", "mirror"].flatMap((name) => children(disk, name))),
]);

export function held(root: Element): Held {
  return {
    disks: allBelow(root, "devices", "disk").map((disk) => ({
      places: placesOf(disk), isShareable: below(disk, "readonly") !== undefined || attribute(disk, "device") === "cdrom",
    })),
    macs: allBelow(root, "devices", "interface").map((card) => attribute(below(card, "mac"), "address")),
    places: [...allBelow(root, "os", "nvram").map((one) => `${one.textContent ?? ""}${written(children(one))}`), ...allBelow(root, "devices", "tpm", "backend", "source").map((one) => written([one]))],
  };
}

/**
 * What `vm.xml` did that makes it no member, in words. A file that all members would write to is as bad as one that is not theirs.
 * @param isWhole it has its own disks
 */
export function intruded(before: Held, after: Held, isWhole: boolean): string[] {
  const there = new Set(before.disks.map(({ places }) => places));
  const wrong: string[] = [];
  if (!isWhole) wrong.push("vm.xml changes where the members' disks are");
  else if (after.disks.some(({ places, isShareable }) => !isShareable && !there.has(places))) {
    wrong.push("vm.xml gives members a disk that all of them would write to: add readonly: true below it, or declare vm.disks");
  }
  if (after.macs.some((mac) => !before.macs.includes(mac))) wrong.push("vm.xml gives network cards addresses that are not the member's own");
  if (after.places.some((place) => place !== "" && !before.places.includes(place))) wrong.push("vm.xml changes where firmware variables or a TPM's state are kept, which each member has of its own");
  return wrong;
}
