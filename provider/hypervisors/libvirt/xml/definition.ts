/** A machine's definition as a tree that is changed in places and keeps all else as it stands. */
import { DOMParser, XMLSerializer, type Document, type Element } from "@xmldom/xmldom";
import { buildXml, XmlError, type XmlNode } from "./xml";

export type { Element };

/** @throws XmlError */
export function readDefinition(xml: string): Element {
  const parser = new DOMParser({ onError: (_level, message) => { throw new XmlError(`expected XML, got ${JSON.stringify(xml.slice(0, 60))}: ${message}`); } });
  const root = parser.parseFromString(xml, "text/xml").documentElement;
  if (!root) throw new XmlError(`expected an element, got ${JSON.stringify(xml.slice(0, 60))}`);
  return root;
}

/** Without blank lines where something was taken out. */
export const writeDefinition = (root: Element): string => new XMLSerializer().serializeToString(root).replace(/\n\s*\n/g, "\n");

/** Child elements, of one name (as it is written, prefix included) or all. */
export function children(parent: Element, name?: string): Element[] {
  return [...parent.childNodes].filter((node): node is Element => node.nodeType === 1 && (name === undefined || node.nodeName === name));
}

/** Down by names; the first of each. Of nothing, nothing. */
export function below(parent: Element | undefined, ...path: string[]): Element | undefined {
  return path.reduce<Element | undefined>((at, name) => at && children(at, name)[0], parent);
}

/** All elements that are reached by these names. */
export function allBelow(parent: Element, ...path: string[]): Element[] {
  return path.reduce<Element[]>((found, name) => found.flatMap((one) => children(one, name)), [parent]);
}

export const attribute = (of: Element | undefined, name: string): string | undefined => of?.getAttribute(name) ?? undefined;

export function remove(...elements: (Element | undefined)[]): void {
  for (const one of elements) one?.parentNode?.removeChild(one);
}

/** The child of that name, made where there is none. */
export function childOf(parent: Element, name: string): Element {
  return below(parent, name) ?? append(parent, { [name]: {} });
}

export function setText(element: Element, text: string): void {
  for (const node of [...element.childNodes]) element.removeChild(node);
  if (text !== "") element.appendChild((element.ownerDocument as Document).createTextNode(text));
}

/** What was written by the writer that escapes, as a child. @param node of one element @param before where in the parent; last where left out */
export function append(parent: Element, node: XmlNode, before: Element | null = null): Element {
  const made = (parent.ownerDocument as Document).importNode(readDefinition(buildXml(node)), true);
  parent.insertBefore(made, before);
  return made;
}
