import { SaxesParser } from "saxes";
import { NOT_XML_TEXT } from "../../../fleet";

const EVERY_NOT_XML = new RegExp(NOT_XML_TEXT, "g");

/** `@name` is an attribute, `#` is text, anything else a child element; arrays repeat, what is undefined is left out. */
export type XmlNode = { [name: string]: XmlValue };
export type XmlValue = string | number | XmlNode | XmlNode[] | string[] | undefined;

/**
 * The only way text gets into XML here: every name and path is escaped by it, so that it reads back as it is, line ends
 * and what looks like an entity included.
 * @throws XmlError when text holds what XML cannot; checks of the inputs have refused it
 */
export function buildXml(root: XmlNode): string {
  return Object.entries(root).map(([name, value]) => {
    if (name === "#") return escaped(String(value as string | number));
    if (name.startsWith("@") || value === undefined) return "";
    return (Array.isArray(value) ? value : [value]).map((one) => written(name, one)).join("");
  }).join("");
}

function written(name: string, value: string | number | XmlNode): string {
  const node: XmlNode = typeof value === "object" ? value : { "#": value };
  const attributes = Object.entries(node).flatMap(([key, of]) =>
    key.startsWith("@") && of !== undefined ? [` ${key.slice(1)}="${escaped(String(of as string | number))}"`] : []).join("");
  const content = buildXml(node);
  return content === "" ? `<${name}${attributes}/>` : `<${name}${attributes}>${content}</${name}>`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function escaped(text: string): string {
  const wrong = text.match(NOT_XML_TEXT)?.[0];
  if (wrong !== undefined) throw new XmlError(`expected text that XML can hold, got ${JSON.stringify(text)}: remove the character ${JSON.stringify(wrong)}`);
  return text.replace(/[&<>"\t\n\r]/g, (one) => ENTITIES[one] ?? `&#${one.charCodeAt(0)};`);
}

export function element(name: string, attributes: Record<string, string>): string {
  return buildXml({ [name]: Object.fromEntries(Object.entries(attributes).map(([key, value]) => [`@${key}`, value])) });
}

/** An element's content by name; of an element that has neither attributes nor children the parsed value is its text alone. */
export type ParsedXml = Record<string, unknown>;

/** XML that nobody could read; libvirt writes none such. */
export class XmlError extends Error {}

/**
 * Attributes as `@name`, text as a string (`#` beside attributes), namespaces dropped. Text is given as it stands,
 * blanks included, since a name may end in one; only what lies between child elements is layout. However deep elements
 * are nested, as chains of images are, the reader does not recurse. Entities of a document's own are not expanded.
 * @throws XmlError
 */
export function parseXml(xml: string): ParsedXml {
  const root = emptyNode();
  const open: { name: string; node: ParsedXml; text: string }[] = [{ name: "", node: root, text: "" }];
  const parser = new SaxesParser({ position: false });
  parser.on("error", ({ message }) => {
    throw new XmlError(`expected XML, got ${JSON.stringify(xml.slice(0, 60))}: ${message}`);
  });
  parser.on("opentag", ({ name, attributes }) => {
    const node = emptyNode();
    for (const [key, value] of Object.entries(attributes)) if (!key.includes(":")) node[`@${key}`] = value;
    open.push({ name: name.slice(name.indexOf(":") + 1), node, text: "" });
  });
  const addText = (text: string): void => {
    open.at(-1)!.text += text;
  };
  parser.on("text", addText);
  parser.on("cdata", addText);
  parser.on("closetag", () => {
    const { name, node, text } = open.pop()!;
    add(open.at(-1)!.node, name, valueOf(node, text));
  });
  // libvirt writes names of files as they are, XML's characters or not.
  parser.write(xml.replace(EVERY_NOT_XML, "\ufffd")).close();
  return root;
}

/** Without a prototype: a name is a key of what was read, or it is not there, be it `constructor`. */
const emptyNode = (): ParsedXml => Object.create(null) as ParsedXml;

function valueOf(node: ParsedXml, text: string): ParsedXml | string {
  if (Object.keys(node).length === 0) return text;
  if (/[^ \t\r\n]/.test(text)) node["#"] = text;
  return node;
}

function add(parent: ParsedXml, name: string, value: ParsedXml | string): void {
  const before = parent[name];
  if (before === undefined) parent[name] = value;
  else if (Array.isArray(before)) before.push(value);
  else parent[name] = [before, value];
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
