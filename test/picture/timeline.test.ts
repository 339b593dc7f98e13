import assert from "node:assert/strict";
import { previewFleet, type CloneTrace } from "../../provider/engine";
import { parseXml } from "../../provider/hypervisors/libvirt/xml/xml";
import { timelineSvg } from "../../provider/picture";
import { inputs, specOf } from "../engine/world";

const hosts = [{ name: "a1", rack: "a" }, { name: "a2", rack: "a" }, { name: "b1", rack: "b" }];
const clone = (more: Partial<CloneTrace>): CloneTrace => (
  { slot: "w-000", source: "template", sourceHost: "a1", targetHost: "a2", startSeconds: 0, endSeconds: 10, ...more }
);
const draw = (clones: CloneTrace[], more = {}): string => {
  const svg = timelineSvg(clones, { hosts, imageBytes: 10e9, ...more });
  assert.ok(parseXml(svg)["svg"]);
  return svg;
};
const heightOf = (svg: string): number => Number(/height="([\d.]+)"/.exec(svg)![1]);

describe("timelineSvg", () => {
  it("shows who fed whom, when and how fast", () => {
    const svg = draw([clone({})]);
    assert.match(svg, /<title>w-000 from template on a1: 0\.0 to 10\.0 s, 1 GB\/s<\/title>/);
    assert.match(svg, />w-000 from a1 · 1 GB\/s</);
    assert.match(svg, /1 copy of 10 GB · 10 s to the last · 1 over the network · 0 across racks/);
  });

  it("paints a bar in the colour of the host that feeds it", () => {
    const svg = draw([clone({}), clone({ slot: "w-001", sourceHost: "a2", targetHost: "b1" })]);
    const labels = [...svg.matchAll(/width="8" height="8" rx="1\.5" fill="([^"]+)"/g)].map((match) => match[1]);
    const bar = (slot: string): string => new RegExp(`<title>${slot}[^]*?fill="([^"]+)"`).exec(svg)![1]!;
    assert.equal(bar("w-000"), labels[0]);
    assert.equal(bar("w-001"), labels[1]);
  });

  it("outlines what crosses racks and hatches what stays on a host", () => {
    assert.match(draw([clone({ targetHost: "b1" })]), /stroke="#1f2933" stroke-width="1\.2"/);
    assert.match(draw([clone({ targetHost: "a1" })]), /<rect [^>]*fill="url\(#own\)"\/><text/);
  });

  it("splits a bar where its source was replaced", () => {
    const svg = draw([clone({ replaced: [{ source: "w-009", sourceHost: "b1", untilSeconds: 4 }] })]);
    assert.equal(svg.match(/fill="#d64545"\/>/g)!.length, 2, "in the key and in the bar");
  });

  it("says the rate of a short copy behind it where nothing follows", () => {
    const long = clone({ slot: "w-009", startSeconds: 0, endSeconds: 1000, targetHost: "b1" });
    assert.match(draw([long, clone({})]), /fill="#7b8794">w-000 from a1 · 1 GB\/s</);
    assert.doesNotMatch(draw([long, clone({}), clone({ slot: "w-001", startSeconds: 11, endSeconds: 900 })]), />w-000 from a1 · /);
  });

  it("shows hosts that died while they fed", () => {
    assert.match(draw([clone({ replaced: [{ source: "w-009", sourceHost: "gone", untilSeconds: 4 }] })]), />gone</);
  });

  it("puts copies to one host that overlap below each other", () => {
    const one = heightOf(draw([clone({}), clone({ slot: "w-001", startSeconds: 10, endSeconds: 20 })]));
    const two = heightOf(draw([clone({}), clone({ slot: "w-001" })]));
    assert.ok(two > one);
  });

  it("says when nothing is copied, and bears any name", () => {
    assert.match(draw([], { title: '<&"\u0001>' }), /nothing is copied/);
    draw([clone({ slot: "<script>", source: "\"'&" , sourceHost: "elsewhere" })]);
  });

  it("keeps 64 hosts on a page or two, with names and rates", async () => {
    const spec = specOf(inputs(64, 4, { policy: "relay", countPerHost: 3, imageBytes: 10e9 }));
    const { clones } = await previewFleet({ spec, fleetId: "fleetaaaaa", incarnation: "one" });
    const svg = draw(clones, { hosts: spec.hosts });
    assert.ok(heightOf(svg) < 3000, `${heightOf(svg)}`);
    assert.equal(svg.match(/font-size="10\.5"/g)!.length, 64);
    assert.ok(svg.includes("GB/s<"));
  });

  it("draws a hundred thousand copies within seconds", () => {
    const many = Array.from({ length: 4000 }, (_, i) => ({ name: `h${i}`, rack: `r${Math.floor(i / 40)}` }));
    const clones = many.flatMap(({ name }) => Array.from({ length: 25 }, (_, n) => clone({ targetHost: name, sourceHost: name, startSeconds: 10 * n, endSeconds: 10 * n + 10 })));
    assert.ok(timelineSvg(clones, { hosts: many, imageBytes: 10e9 }).startsWith("<svg"));
  }).timeout(20_000);
});
