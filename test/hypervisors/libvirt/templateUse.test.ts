/** As what the host's domains have a template's image, by whatever name and path they have it. */
import assert from "node:assert/strict";
import { realClock } from "../../../provider/async/clock";
import fc from "fast-check";
import { ImageUse, type DomainText } from "../../../provider/hypervisors/libvirt/guard/imageUse";
import type { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import type { Domain, Pool, Volume } from "../../../provider/hypervisors/libvirt/rpc/handles";
import { LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { diskOwner, formatsOf } from "../../../provider/hypervisors/libvirt/template/use";
import { declarations } from "../../../provider/hypervisors/libvirt/template/volume";
import { volumeFacts } from "../../../provider/hypervisors/libvirt/volumes/volumes";
import { buildXml } from "../../../provider/hypervisors/libvirt/xml/xml";

interface File {
  bytes: number;
  ctime: string;
}
const FILE: File = { bytes: 4096, ctime: "17.000000001" };
const guest: Domain = { name: "guest", id: -1, uuid: Buffer.alloc(16, 5) };
const volume = (pool: string, name: string): Volume => ({ pool, name, key: `/${pool}/${name}` });

/** @param paths what lies at paths that no pool has, as the domain's disks. @param pools what lies in pools */
function host(pools: Readonly<Record<string, File>>, paths: Readonly<Record<string, File | number>> = {}): LibvirtClient {
  const found = (key: string): Volume | null => (key in pools ? volume(key.split("/")[1]!, key.split("/")[2]!) : null);
  return {
    lookupPool: (name: string) => Promise.resolve(Object.keys(pools).some((key) => key.startsWith(`/${name}/`)) ? { name } : null),
    lookupVolume: ({ name: pool }: Pool, name: string) => Promise.resolve(found(`/${pool}/${name}`)),
    lookupVolumeByPath: (path: string) => Promise.resolve(found(path)),
    listDomains: () => Promise.resolve([guest]),
    volumeXml: ({ name, key }: Volume) => {
      const { bytes, ctime } = pools[key]!;
      // libvirt takes what a guest wrote into a raw disk for a qcow2 image of another size.
      return Promise.resolve(buildXml({ volume: { name, key, capacity: "1000000", allocation: String(bytes), physical: String(bytes), target: { path: key, format: { "@type": "qcow2" }, timestamps: { mtime: "1.0", ctime } } } }));
    },
    clock: realClock,
    blockInfo: (_domain: Domain, path: string) => {
      const file = paths[path] ?? 2;
      if (typeof file === "number") return Promise.reject(new LibvirtError(38, 18, "no", file));
      return Promise.resolve({ capacity: file.bytes, physical: file.bytes, allocation: file.bytes });
    },
  } as unknown as LibvirtClient;
}
/** As libvirt writes it. */
const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("'", "&apos;").replaceAll("\"", "&quot;");
const having = (source: Record<string, string>, format = "raw"): DomainText => ({
  domain: guest, managedSave: false,
  defined: `<domain><name>guest</name><devices><disk type='file' device='disk'><driver name='qemu' type='${format}'/><source${Object.entries(source).map(([key, value]) => ` ${key.slice(1)}='${escaped(value)}'`).join("")}/><target dev='vda'/></disk></devices></domain>`,
});

async function asked(client: LibvirtClient, text: DomainText, name = "golden.img"): Promise<{ formats: [string, string][]; owner: string | undefined }> {
  const facts = await volumeFacts(client, volume("pool", name));
  const formats = [...await formatsOf(client, declarations([text], facts), facts)];
  return { formats, owner: (await diskOwner(client, new ImageUse([text]), facts))?.domain };
}
const IS_DISK = { formats: [["raw", "guest"]], owner: "guest" };
const IS_NONE = { formats: [], owner: undefined };

describe("a template's image", () => {
  it("is a guest's raw disk whatever characters its name has", async () => {
    await fc.assert(fc.asyncProperty(fc.stringMatching(/^[ -.0-~]{1,20}$/).filter((name) => name.trim() === name && !/^\.*$/.test(name)), async (name) => {
      const pools = { [`/pool/${name}`]: FILE };
      assert.deepEqual(await asked(host(pools), having({ "@file": `/pool/${name}` }), name), IS_DISK);
      assert.deepEqual(await asked(host(pools), having({ "@pool": "pool", "@volume": name }), name), IS_DISK);
    }), { examples: [["R&D.img"], ["a<b>.img"], ["it's \"one\".img"]], numRuns: 100 });
  });

  const ways: [string, Record<string, string>, LibvirtClient, object][] = [
    ["by an alias of its path", { "@file": "/alias/golden.img" }, host({ "/pool/golden.img": FILE }, { "/alias/golden.img": FILE }), IS_DISK],
    ["by the path of another pool of the same directory", { "@file": "/second/golden.img" }, host({ "/pool/golden.img": FILE, "/second/golden.img": FILE }), IS_DISK],
    ["by another pool of the same directory", { "@pool": "second", "@volume": "golden.img" }, host({ "/pool/golden.img": FILE, "/second/golden.img": FILE }), { ...IS_DISK }],
    ["by a path that cannot be looked at", { "@file": "/alias/golden.img" }, host({ "/pool/golden.img": FILE }, { "/alias/golden.img": 5 }), IS_DISK],
  ];
  for (const [what, source, client, expected] of ways) it(`is a guest's raw disk that has it ${what}`, async () => assert.deepEqual(await asked(client, having(source)), expected));

  const others: [string, Record<string, string>, LibvirtClient][] = [
    ["of another size", { "@file": "/other/golden.img" }, host({ "/pool/golden.img": FILE }, { "/other/golden.img": { ...FILE, bytes: 8192 } })],
    ["that is gone", { "@file": "/other/golden.img" }, host({ "/pool/golden.img": FILE })],
    ["of another pool", { "@file": "/other/golden.img" }, host({ "/pool/golden.img": FILE, "/other/golden.img": { ...FILE, ctime: "18.000000001" } })],
  ];
  for (const [what, source, client] of others) it(`is none for a guest's disk of the same name ${what}`, async () => assert.deepEqual(await asked(client, having(source)), IS_NONE));
});
