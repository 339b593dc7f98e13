import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, open, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeFile, uploadChunks } from "../../../provider/hypervisors/libvirt/template/localFile";
import { SharedWork } from "../../../provider/async/sharedWork";
import { compressedEntry, qcow2 } from "./qcow2File";

describe("a local template file", () => {
  let dir: string;
  const file = () => join(dir, "image.raw");
  beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), "vmfleet-file-")); });
  afterEach(async () => { await rm(dir, { recursive: true }); });

  it("is uploaded as its data and holes, in order, nothing lost", async () => {
    const handle = await open(file(), "w");
    const parts = [[100, 70_000], [10 << 20, 1], [(12 << 20) - 10, 4096]] as const;
    for (const [offset, length] of parts) await handle.write(randomBytes(length), 0, length, offset);
    await handle.close();
    await truncate(file(), 16 << 20);
    const whole = createHash("sha256");
    let sent = 0;
    for await (const chunk of uploadChunks(file(), () => undefined)) {
      if ("data" in chunk) sent += chunk.data.length;
      whole.update("data" in chunk ? chunk.data : Buffer.alloc(chunk.holeBytes));
    }
    const seen = await describeFile(file());
    assert.equal(whole.digest("hex"), seen.sha256);
    assert.equal(sent, seen.allocationBytes);
    assert.ok(sent < 400_000, `${sent} bytes for 74 kB of data`);
    assert.equal(seen.capacityBytes, 16 << 20);
  });

  it("says what is wrong with one that cannot be a template", async () => {
    await writeFile(file(), "");
    await assert.rejects(describeFile(file()), /the file is empty/);
    await writeFile(file(), "abc");
    await assert.rejects(describeFile(file()), /no whole number of 512-byte sectors/);
    await writeFile(file(), qcow2({ backing: "/base.qcow2", backingFormat: "qcow2" }));
    await assert.rejects(describeFile(file()), /with a backing file/);
    await assert.rejects(describeFile(dir), /not a file/);
    await assert.rejects(describeFile(join(dir, "missing")), /ENOENT/);
  });

  it("is read no further once nobody waits for it, and by one reader for all who do", async () => {
    let begun = 0;
    let givenUp: AbortSignal | undefined;
    const work = new SharedWork<string>((signal) => {
      begun++;
      givenUp = signal;
      return new Promise((_, reject) => { signal.addEventListener("abort", () => reject(signal.reason as Error)); });
    });
    const [first, second] = [new AbortController(), new AbortController()];
    const gone = [first, second].map(({ signal }) => assert.rejects(work.wait(signal), /enough/));
    first.abort(new Error("enough"));
    await gone[0];
    assert.deepEqual([begun, givenUp!.aborted, work.isGivenUp], [1, false, false]);
    second.abort(new Error("enough"));
    await gone[1];
    assert.deepEqual([givenUp!.aborted, work.isGivenUp], [true, true]);
  });

  it("is read anew by who asks after all others gave up", async () => {
    await writeFile(file(), randomBytes(1 << 20));
    const abort = new AbortController();
    const look = assert.rejects(describeFile(file(), abort.signal), /enough/);
    abort.abort(new Error("enough"));
    await look;
    assert.equal((await describeFile(file())).fileBytes, 1 << 20);
    await assert.rejects(describeFile(file(), abort.signal), /enough/);
  });

  it("has another content id once it was written", async () => {
    await writeFile(file(), Buffer.alloc(1024, 1));
    const first = (await describeFile(file())).sha256;
    await writeFile(file(), Buffer.alloc(2048, 2));
    assert.notEqual((await describeFile(file())).sha256, first);
  });

  it("has another content id where it was rewritten in place, its size and its times put back", async () => {
    await writeFile(file(), Buffer.alloc(1024, 1));
    const { atime, mtime, ctimeMs } = await stat(file());
    const first = (await describeFile(file())).sha256;
    do { // a kernel's clock ticks every few milliseconds only
      await writeFile(file(), Buffer.alloc(1024, 2), { flag: "r+" });
      await utimes(file(), atime, mtime);
    } while ((await stat(file())).ctimeMs === ctimeMs);
    assert.notEqual((await describeFile(file())).sha256, first);
  });

  it("is read once for all who ask, and a copy of it that is told a hash hears all that is sent", async () => {
    await writeFile(file(), Buffer.concat([Buffer.alloc(200_000), randomBytes(1000), Buffer.alloc(99_032)]));
    const [one, other] = await Promise.all([describeFile(file()), describeFile(file())]);
    assert.equal(one, other);
    const sent = createHash("sha256");
    for await (const chunk of uploadChunks(file(), () => undefined, sent)) assert.ok(chunk);
    assert.equal(sent.digest("hex"), one.sha256);
  });

  it("says what a clone of it writes: all its data, though it is compressed", async () => {
    await writeFile(file(), qcow2({ capacityBytes: 40 * 65_536, entries: [...Array(30).keys()].map((cluster) => [cluster, compressedEntry(3 * 65_536)]) }));
    const { cloneBytes, allocationBytes } = await describeFile(file());
    assert.equal(cloneBytes, (30 + 5) * 65_536);
    assert.ok(allocationBytes < 6 * 65_536);
  });
});
