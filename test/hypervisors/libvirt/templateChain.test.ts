/** A template with all it stands on: nothing is guessed on the way, and nothing is opened that nobody looked at. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { readImageHeader } from "../../../provider/hypervisors/libvirt/qcow2/imageHeader";
import { declaredHeader, MAX_CHAIN, readChain, type ChainFile } from "../../../provider/hypervisors/libvirt/template/chain";
import { UnfitImageError } from "../../../provider/hypervisors/libvirt/qcow2/unfitImage";
import { qcow2 } from "./qcow2File";

type Files = Record<string, Buffer>;
const file = (path: string): Pick<ChainFile, "volume" | "facts"> => ({
  volume: { pool: "default", name: path, key: path },
  facts: { volume: path, path, key: path, mtime: "1.0", format: "qcow2", capacityBytes: 1, allocationBytes: 1 },
});

async function chain(files: Files, declared?: string, forbidden: readonly string[] = []): Promise<{ paths: string[]; formats: string[]; looked: string[] }> {
  const looked: string[] = [];
  const found = await readChain(file("/pool/top"), declared, {
    header: ({ facts }, format) => {
      looked.push(facts.path);
      const bytes = files[facts.path]!;
      const read = (at: number, length: number): Promise<Buffer> => Promise.resolve(bytes.subarray(at, at + length));
      return format === undefined ? readImageHeader(read, bytes.length) : declaredHeader(read, bytes.length, format);
    },
    at: (path) => Promise.resolve(files[path] ? file(path) : null),
    allow: ({ facts }) => (forbidden.includes(facts.path) ? Promise.reject(new UnfitImageError("not that one: no")) : Promise.resolve()),
  });
  return { paths: found.map(({ facts }) => facts.path), formats: found.map(({ header }) => header.format), looked };
}
const over = (backing: string, backingFormat?: string): Buffer => qcow2({ backing, ...(backingFormat !== undefined && { backingFormat }) });
const refused = (files: Files, says: RegExp, declared?: string, forbidden?: string[]): Promise<void> =>
  assert.rejects(chain(files, declared, forbidden), (error: Error) => error instanceof UnfitImageError && says.test(error.message));

describe("a template's chain", () => {
  it("is followed to its end, each file as the one above says, by names as QEMU finds them", async () => {
    const files = { "/pool/top": over("middle", "qcow2"), "/pool/middle": over("../other/./base", "raw"), "/other/base": Buffer.alloc(1024) };
    assert.deepEqual(await chain(files), { paths: ["/pool/top", "/pool/middle", "/other/base"], formats: ["qcow2", "qcow2", "raw"], looked: ["/pool/top", "/pool/middle", "/other/base"] });
  });

  it("ends at whatever is declared as raw, though its bytes name a file", async () => {
    const secret = over("/etc/shadow", "raw");
    assert.deepEqual((await chain({ "/pool/top": secret }, "raw")).formats, ["raw"]);
    assert.deepEqual((await chain({ "/pool/top": over("/pool/base", "raw"), "/pool/base": secret })).formats, ["qcow2", "raw"]);
  });

  it("is refused where it is not what was declared", async () => {
    await refused({ "/pool/top": Buffer.alloc(1024) }, /declared as qcow2, but none by its first bytes/, "qcow2");
    await refused({ "/pool/top": qcow2() }, /of format "vmdk": convert it/, "vmdk");
    await refused({ "/pool/top": over("/pool/base", "qcow2"), "/pool/base": Buffer.alloc(1024) }, /an overlay of \/pool\/base, which is unfit itself: declared as qcow2/);
  });

  it("is refused where a name has no format, or another than two, is no plain file, or is in no pool", async () => {
    await refused({ "/pool/top": over("/pool/base"), "/pool/base": qcow2() }, /does not say of which format/);
    await refused({ "/pool/top": over("/pool/base", "vmdk"), "/pool/base": qcow2() }, /an image of format "vmdk"/);
    for (const name of ["json:{\"driver\":\"file\"}", "nbd://host/x", "file:/pool/base", "/pool/ba\0se"]) await refused({ "/pool/top": over(name, "raw") }, /no plain file/);
    await refused({ "/pool/top": over("/etc/shadow", "raw") }, /an overlay of \/etc\/shadow, which no active storage pool of the host has/);
  });

  it("is refused where it stands on itself, is endless, or on what may not be looked at for it", async () => {
    await refused({ "/pool/top": over("a", "qcow2"), "/pool/a": over("top", "qcow2") }, /stands on itself/);
    const long = Object.fromEntries([...Array(MAX_CHAIN + 5).keys()].map((i) => [i === 0 ? "/pool/top" : `/pool/${i}`, over(String(i + 1), "qcow2")]));
    await refused(long, new RegExp(`more than ${MAX_CHAIN} images`));
    await refused({ "/pool/top": over("a", "qcow2"), "/pool/a": qcow2() }, /not that one/, undefined, ["/pool/a"]);
  });

  it("never looks at a file that is in no pool, nor at one twice, whatever the headers name", async () => {
    const names = fc.constantFrom("/pool/top", "/pool/a", "b", "../pool/c", "/etc/shadow", "json:{}", "/pool/./a", "nbd:x", "");
    const formats = fc.option(fc.constantFrom("raw", "qcow2", "vmdk", "", "qcow2\0"), { nil: undefined });
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(names, formats), { minLength: 4, maxLength: 4 }), async (headers) => {
      const paths = ["/pool/top", "/pool/a", "/pool/b", "/pool/c"];
      const files = Object.fromEntries(paths.map((path, i) => [path, headers[i]![0] === "" ? qcow2() : over(...(headers[i] as [string, string | undefined]))]));
      const outcome = await chain(files).catch((error: unknown) => {
        if (!(error instanceof UnfitImageError)) throw error;
        return undefined;
      });
      if (!outcome) return;
      assert.equal(new Set(outcome.looked).size, outcome.looked.length);
      assert.ok(outcome.paths.every((path) => path in files));
    }), { numRuns: 400, seed: 19 });
  });
});
