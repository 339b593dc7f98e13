/** Paths into a machine's own XML (`vm.xml`): a small part of XPath, of which it is clear what is made where nothing is there. */

/** One element below another: by its name, and which one by an attribute of it or by its place among those of that name, from 1. */
export interface XmlStep {
  name: string;
  where?: { attribute: string; value: string } | { place: number };
}

/** From the machine's own element down. */
export interface XmlPath {
  steps: readonly XmlStep[];
  /** Absent: the element itself. */
  attribute?: string;
}

const NAME = "[A-Za-z_][A-Za-z0-9_.-]*(?::[A-Za-z_][A-Za-z0-9_.-]*)?";
const STEP = new RegExp(`^/(${NAME})(?:\\[(?:([1-9]\\d{0,3})|@(${NAME})=(?:'([^'\\p{Cc}]*)'|"([^"\\p{Cc}]*)"))\\])?`, "u");
const ATTRIBUTE = new RegExp(`^/@(${NAME})$`);

/** `./cpu/@mode`, `./devices/disk[1]/driver/@cache`, `./devices/interface[@type='bridge']`. @returns undefined for anything else */
export function readXmlPath(path: string): XmlPath | undefined {
  if (!path.startsWith("./")) return undefined;
  const steps: XmlStep[] = [];
  let rest = path.slice(1);
  while (rest !== "") {
    const attribute = ATTRIBUTE.exec(rest)?.[1];
    if (attribute !== undefined) return { steps, attribute };
    const step = STEP.exec(rest);
    if (!step) return undefined;
    const [whole, name, place, of, single, double] = step;
    steps.push({
      name: name!,
      ...(place !== undefined && { where: { place: Number(place) } }),
      ...(of !== undefined && { where: { attribute: of, value: single ?? double ?? "" } }),
    });
    rest = rest.slice(whole.length);
  }
  return steps.length > 0 ? { steps } : undefined;
}
