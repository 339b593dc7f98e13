import assert from "node:assert/strict";
import fc from "fast-check";
import { all, at, buildXml, element, parseXml, text, XmlError } from "../../../provider/hypervisors/libvirt/xml/xml";

/** Everything that XML can hold, and what its writers and readers are known to stumble over. */
const awkward = fc.constantFrom("&", "<", ">", "'", '"', " ", "\t", "\n", "\r", ";", "&amp;", "&#10;", "&lt;", "&copy;", "]]>", "<![CDATA[", "<!--", "%", "é", "😀", "\u0085", "\u2028", "007", "1e3", "true");
const isXml = (value: string): boolean => !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(value); // eslint-disable-line no-control-regex
const anyText = fc.array(fc.oneof(awkward, fc.string({ unit: "binary", maxLength: 3 })), { maxLength: 8 }).map((parts) => parts.join("")).filter(isXml);

describe("XML that is written", () => {
  it("reads back exact, in text and attributes, blanks at the ends and what looks like an entity included", () => {
    fc.assert(fc.property(anyText, anyText, (one, other) => {
      const read = parseXml(buildXml({ a: { "@x": one, "@y": other, b: [one, other], c: { d: other } } }));
      assert.deepEqual([text(read, "a", "@x"), text(read, "a", "@y"), all(read, "a", "b"), text(read, "a", "c", "d")], [one, other, [one, other], other]);
    }), { numRuns: 500 });
  });

  it("is refused with the character when XML cannot hold it", () => {
    for (const wrong of ["\u0000", "\u001b", "\ud800", "\udc00x", "\ufffe"]) {
      assert.throws(() => element("a", { x: `b${wrong}` }), XmlError);
      assert.throws(() => buildXml({ a: { b: `b${wrong}` } }), XmlError);
    }
  });
});

describe("XML that is read", () => {
  it("may be nested as deep as it likes: chains of 200 images, which is libvirt's limit, and far beyond", () => {
    for (const depth of [1, 99, 200, 20_000]) {
      let node: unknown = parseXml(`<disk>${"<backingStore type='file'>".repeat(depth)}<format/>${"</backingStore>".repeat(depth)}</disk>`);
      node = at(node, "disk");
      for (let level = 0; level < depth; level++) node = at(node, "backingStore");
      assert.equal(text(node, "format"), "");
    }
  });

  it("is taken as libvirt writes it: layout is none, references of all kinds are characters, sections are text", () => {
    const read = parseXml("<domain type='kvm'>\n  <name>a&#x20;&#98;&quot; </name>\n  <on/>\n  <x:y xmlns:x='u' x:z='1' z='2'><![CDATA[<b>&amp;]]></x:y>\n</domain>\n");
    assert.deepEqual([text(read, "domain", "@type"), text(read, "domain", "name"), text(read, "domain", "on")], ["kvm", 'a b" ', ""]);
    assert.deepEqual([text(read, "domain", "y"), text(read, "domain", "y", "@z"), text(read, "domain", "y", "@xmlns:x")], ["<b>&amp;", "2", undefined]);
    assert.equal(text(read, "domain"), undefined);
  });

  it("may hold names that are objects' own: they are keys like others, and none is there that was not written", () => {
    const read = parseXml("<metadata><constructor/><__proto__ a='1'/><a __proto__='2' toString='3'/></metadata>");
    assert.equal(text(read, "metadata", "__proto__", "@a"), "1");
    assert.deepEqual([text(read, "metadata", "a", "@__proto__"), text(read, "metadata", "a", "@toString")], ["2", "3"]);
    assert.equal(at(read, "hasOwnProperty"), undefined);
    assert.equal(({} as Record<string, unknown>)["@a"], undefined);
  });

  it("keeps the rest readable where a file's name holds what no XML may", () => {
    assert.equal(text(parseXml("<volume><name>a\u0001b\ufffe</name><key>k</key></volume>"), "volume", "key"), "k");
  });

  it("expands no entity of a document's own, and is refused where it is none", () => {
    const bomb = "<!DOCTYPE a [<!ENTITY x 'xxxxxxxxxx'><!ENTITY y '&x;&x;&x;'>]><a>&y;</a>";
    for (const wrong of [bomb, "<a>&nosuch;</a>", "<a><b></a>", "<a>", "<a b=1/>", "no XML", ""]) assert.throws(() => parseXml(wrong), XmlError, wrong);
  });
});
