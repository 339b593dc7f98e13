/** `vm.xml`: what a program sets in the definition of each member, by path. */
import type { LibvirtMachine } from "../../../fleet/model";
import { readXmlPath, type XmlPath, type XmlStep } from "../../../fleet";
import { attribute, children, remove, setText, type Element } from "./definition";

const NAMESPACES: Readonly<Record<string, string>> = { qemu: "http://libvirt.org/schemas/domain/qemu/1.0" };

interface SetOptions {
  /** It was done to this definition when it was made: what went by its place is gone, and others have that place. @default false */
  isAgain?: boolean;
  /** Fills a text's places for what differs by member. @default there are none */
  fill?: (text: string) => string;
}

/**
 * Changes the definition in place. Paths were checked as inputs; one that names several elements means all of them, and a
 * place is that among those that were there. Pulumi keeps no order of a program's keys, so none of them counts.
 * @returns what cannot be done, in words
 */
export function setPaths(root: Element, xml: LibvirtMachine["xml"] = {}, { isAgain = false, fill = (text) => text }: SetOptions = {}): string[] {
  const wrong: string[] = [];
  const all = Object.entries(xml).sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true })).flatMap(([path, value]) => {
    const read = readXmlPath(path);
    return read ? [{ path, value, ...read }] : [];
  });
  const shifted = new Set(all.filter(takesByPlace).map(({ steps }) => amongWhat(steps, steps.length - 1)));
  const entries = isAgain ? all.filter(({ steps }) => !steps.some((step, i) => isPlaced(step) && shifted.has(amongWhat(steps, i)))) : all;
  const [going, staying] = [entries.filter(takesElement), entries.filter((one) => !takesElement(one))];
  const gone = going.flatMap(({ steps }) => reach(root, steps, () => undefined));
  for (const { path, value, steps, attribute: name } of staying) {
    const make = (parent: Element, step: XmlStep): Element | undefined => {
      const count = children(parent, step.name).length;
      if (!isPlaced(step) || step.where.place <= count + 1) return made(parent, step);
      wrong.push(`vm.xml[${JSON.stringify(path)}] is the place ${step.where.place} of ${count}: name the next one`);
      return undefined;
    };
    for (const element of reach(root, steps, value === false ? () => undefined : make)) {
      if (name !== undefined && value === false) element.removeAttribute(name);
      else if (name !== undefined) element.setAttribute(name, fill(String(value)));
      else if (typeof value === "string") setText(element, fill(value));
    }
  }
  remove(...gone);
  return [...wrong, ...undeclared(root, staying)];
}

type Entry = XmlPath & { value: string | boolean };
type PlacedStep = XmlStep & { where: { place: number } };
const isPlaced = (step: XmlStep | undefined): step is PlacedStep => step?.where !== undefined && "place" in step.where;
const takesElement = ({ value, attribute: name }: Entry): boolean => value === false && name === undefined;
const takesByPlace = (entry: Entry): boolean => takesElement(entry) && isPlaced(entry.steps.at(-1));
const amongWhat = (steps: readonly XmlStep[], index: number): string => JSON.stringify([steps.slice(0, index), steps[index]!.name]);

/** Elements that the steps lead to; where there is none, what `make` makes. */
function reach(root: Element, steps: readonly XmlStep[], make: (parent: Element, step: XmlStep) => Element | undefined): Element[] {
  return steps.reduce<Element[]>((at, step) => at.flatMap((parent) => {
    const { name, where } = step;
    const named = children(parent, name);
    const found = where === undefined ? named
      : "place" in where ? named.slice(where.place - 1, where.place)
        : named.filter((one) => attribute(one, where.attribute) === where.value);
    return found.length > 0 ? found : make(parent, step) ?? [];
  }), [root]);
}

/** With the attribute that the step asks for. */
function made(parent: Element, { name, where }: XmlStep): Element {
  const element = parent.ownerDocument!.createElement(name);
  if (where && "attribute" in where) element.setAttribute(where.attribute, where.value);
  parent.appendChild(element);
  return element;
}

/** libvirt reads over an element whose prefix nobody declared. */
function undeclared(root: Element, entries: readonly XmlPath[]): string[] {
  const names = entries.flatMap(({ steps, attribute: name }) => [...steps.map((step) => step.name), name ?? ""]);
  const prefixes = new Set(names.filter((name) => name.includes(":")).map((name) => name.split(":")[0]!));
  return [...prefixes].filter((prefix) => prefix !== "xmlns" && !root.hasAttribute(`xmlns:${prefix}`)).flatMap((prefix) => {
    if (!Object.hasOwn(NAMESPACES, prefix)) return [`vm.xml names ${prefix}: without its namespace: add "./@xmlns:${prefix}"`];
    root.setAttribute(`xmlns:${prefix}`, NAMESPACES[prefix]!);
    return [];
  });
}
