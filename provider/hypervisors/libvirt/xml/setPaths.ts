/** `vm.xml`: what a program sets in the definition of each member, by path. */
import type { LibvirtMachine } from "../../../fleet/model";
import { readXmlPath, type XmlStep } from "../../../fleet";
import { attribute, children, remove, setText, type Element } from "./definition";

/**
 * Changes the definition in place. Paths were checked as inputs; one that names several elements means all of them.
 * @param fill a text's places for what differs by member
 */
export function setPaths(root: Element, xml: LibvirtMachine["xml"] = {}, fill: (text: string) => string = (text) => text): void {
  for (const [path, value] of Object.entries(xml)) {
    const read = readXmlPath(path);
    if (!read) continue;
    const isMade = value !== false;
    const found = read.steps.reduce<Element[]>((at, step) => at.flatMap((one) => at.length > 0 ? reached(one, step, isMade) : []), [root]);
    for (const element of found) {
      if (read.attribute !== undefined) {
        if (value === false) element.removeAttribute(read.attribute);
        else element.setAttribute(read.attribute, fill(String(value)));
      } else if (value === false) remove(element);
      else if (typeof value === "string") setText(element, fill(value));
    }
  }
}

/** Children that a step names; where there is none and one is wanted it is made, with the attribute that the step asks for. */
function reached(parent: Element, { name, where }: XmlStep, isMade: boolean): Element[] {
  const named = children(parent, name);
  const found = where === undefined ? named
    : "place" in where ? named.slice(where.place - 1, where.place)
      : named.filter((one) => attribute(one, where.attribute) === where.value);
  if (found.length > 0 || !isMade) return found;
  const made = parent.ownerDocument!.createElement(name);
  if (where && "attribute" in where) made.setAttribute(where.attribute, where.value);
  parent.appendChild(made);
  return [made];
}
