import { XMLParser } from "fast-xml-parser";
import { create } from "xmlbuilder2";

/** xmlbuilder2's object form: `@name` is an attribute, `#` is text, anything else a child; arrays repeat. */
export type XmlNode = { [name: string]: XmlValue };
export type XmlValue = string | number | XmlNode | XmlNode[] | string[] | undefined;

/** The only way text gets into XML here: every name and path is escaped by the builder. */
export function buildXml(root: XmlNode): string {
  return create(stripUndefined(root)).end({ headless: true });
}

export function element(name: string, attributes: Record<string, string>): string {
  const node: XmlNode = {};
  for (const [key, value] of Object.entries(attributes)) node[`@${key}`] = value;
  return buildXml({ [name]: node });
}

function stripUndefined(node: XmlNode): XmlNode {
  const out: XmlNode = {};
  for (const [key, value] of Object.entries(node)) {
    if (value === undefined) continue;
    if (Array.isArray(value)) out[key] = value.map((v) => (typeof v === "object" ? stripUndefined(v) : v)) as XmlNode[];
    else out[key] = typeof value === "object" ? stripUndefined(value) : value;
  }
  return out;
}

const parser = new XMLParser({
  ignoreAttributes: false, attributeNamePrefix: "@", textNodeName: "#", parseTagValue: false, parseAttributeValue: false,
  removeNSPrefix: true, processEntities: true, htmlEntities: true,
});

export type ParsedXml = Record<string, unknown>;

/** Attributes as `@name`, text as a string (`#` beside attributes), namespaces dropped. */
export function parseXml(xml: string): ParsedXml {
  return parser.parse(xml) as ParsedXml;
}

/** Walks down by names; a repeated element gives its first. Undefined where the path ends early. */
export function at(node: unknown, ...path: string[]): unknown {
  let current = node;
  for (const name of path) {
    if (Array.isArray(current)) current = current[0];
    if (typeof current !== "object" || current === null) return undefined;
    current = (current as Record<string, unknown>)[name];
  }
  return current;
}

/** All elements of that name; none is an empty list. */
export function all(node: unknown, ...path: string[]): unknown[] {
  const found = at(node, ...path);
  return found === undefined ? [] : Array.isArray(found) ? found : [found];
}

export function text(node: unknown, ...path: string[]): string | undefined {
  const found = at(node, ...path);
  const value = Array.isArray(found) ? found[0] : found;
  if (typeof value === "object" && value !== null) return (value as Record<string, string>)["#"];
  return value === undefined ? undefined : String(value);
}
