import assert from "node:assert/strict";
import { DISK_DEVICE, pickNodes } from "../../../provider/hypervisors/libvirt/helper/nodes";

const EARLY = "/pool/early.qcow2";
/** As QEMU names an image that stands over another than its header says. */
const over = (path: string) => `json:${JSON.stringify({ backing: { driver: "nbd" }, driver: "qcow2", file: { driver: "file", filename: path } })}`;
const drive = (disk: number, node: string, file: string, drv = "qcow2") => ({ qdev: DISK_DEVICE.replace("disk0", `disk${disk}`), inserted: { "node-name": node, drv, file } });
const named = (name: string, drv: string, file: string) => ({ "node-name": name, drv, file });
const data = [drive(1, "libvirt-1-format", "/pool/data.qcow2"), named("libvirt-1-storage", "file", "/pool/data.qcow2")] as const;

describe("the nodes of a domain's first disk", () => {
  it("are QEMU's own, whatever disks are listed before or behind it", () => {
    const found = pickNodes(
      [data[0], drive(0, "libvirt-2-format", over(EARLY))],
      [named("libvirt-1-format", "qcow2", "/pool/data.qcow2"), data[1], named("libvirt-2-format", "qcow2", over(EARLY)), named("libvirt-2-storage", "file", EARLY)], EARLY,
    );
    assert.deepEqual(found, { image: "libvirt-2-format", file: "libvirt-2-storage" });
  });

  for (const [what, first] of [
    ["another file", drive(0, "libvirt-2-format", "/pool/snapshot.qcow2")],
    ["another file over the expected one", drive(0, "libvirt-3-format", `json:${JSON.stringify({ driver: "qcow2", backing: { file: { filename: EARLY } }, file: { filename: "/pool/snapshot.qcow2" } })}`)],
    ["raw", drive(0, "libvirt-2-format", EARLY, "raw")],
    ["nothing that can be read", drive(0, "libvirt-2-format", "json:{\"driver\": \"qc...")],
  ] as const) {
    it(`are refused where it is ${what}`, () => {
      assert.throws(() => pickNodes([data[0], first], [data[1], named("libvirt-2-storage", "file", EARLY)], EARLY), /expected qcow2 in \/pool\/early.qcow2/);
    });
  }

  it("are refused where the file is open twice", () => {
    assert.throws(() => pickNodes([drive(0, "a", EARLY)], [named("b", "file", EARLY), named("c", "file", EARLY)], EARLY), /open 2 times/);
  });
});
