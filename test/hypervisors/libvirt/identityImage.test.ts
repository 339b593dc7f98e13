import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { FatFsDisk } from "fatfs-wasm";
import { IMAGE_BYTES, identityImage } from "../../../provider/hypervisors/libvirt/identity/image";
import type { GuestFile } from "../../../provider/fleet";

const FILES: GuestFile[] = [
  { name: "meta-data", text: "instance-id: \"ä\"\n" }, { name: "user-data", text: `#!/bin/sh\n${"x".repeat(100_000)}` }, { name: "network-config", text: "version: 2\n" }, { name: "vendor-data", text: "" },
];
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

async function read(image: Buffer): Promise<Record<string, string>> {
  const disk = await FatFsDisk.create(image);
  disk.mount();
  const directory = disk.openDir("/");
  const files = [...directory].map(({ name }) => [name, Buffer.from(disk.readFile(name)).toString("utf8")] as const);
  directory.close();
  return Object.fromEntries(files);
}

describe("the image that tells a guest who it is", () => {
  it("holds the files as they are, and a label that every cloud-init looks for", async () => {
    const image = await identityImage(FILES);
    assert.equal(image.length, IMAGE_BYTES);
    assert.deepEqual(await read(image), Object.fromEntries(FILES.map(({ name, text }) => [name, text])));
    assert.ok(image.includes("cidata     \x08", 0, "latin1"));
  });

  it("is the same for the same files, to the byte, at any time and in any time zone, and another for others", async () => {
    const first = sha256(await identityImage(FILES));
    assert.equal(first, "80972e258ecef142edb31d29e5e45da2ce450c450103859fc0fc933213087555", "a changed image of unchanged files would be written nowhere, as hashes are of what the files say: raise WRITING in identity.ts with it");
    const script = `require("tsx/cjs");Date.now=()=>1e12;require(${JSON.stringify(require.resolve("../../../provider/hypervisors/libvirt/identity/image"))}).identityImage(${JSON.stringify(FILES)}).then((b)=>console.log(require("crypto").createHash("sha256").update(b).digest("hex")))`;
    assert.equal(execFileSync(process.execPath, ["-e", script], { env: { ...process.env, TZ: "Pacific/Kiritimati" } }).toString().trim(), first);
    assert.notEqual(sha256(await identityImage(FILES.slice(1))), first);
  });

  it("leaves the clock as it was, also where files do not fit", async () => {
    const { Date: real } = globalThis;
    await assert.rejects(identityImage([{ name: "user-data", text: "x".repeat(IMAGE_BYTES) }]), /does not fit into 2097152 bytes/);
    assert.equal(globalThis.Date, real);
    assert.ok(Date.now() > 1.6e12);
  });

  it("holds the largest texts that inputs may have", async () => {
    const [user, other] = ["x".repeat(524_288), "x".repeat(65_536)] as const;
    await identityImage([{ name: "meta-data", text: other }, { name: "user-data", text: user }, { name: "network-config", text: other }, { name: "vendor-data", text: user }]);
  });
});
