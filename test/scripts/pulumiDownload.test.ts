/** The official Pulumi CLI from a server that answers as it likes. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { downloadPulumi, LIMITS, placesOf } from "../../scripts/lib/pulumi-download.mjs";

const ROOT = join(__dirname, "..", "..");
const VERSION = (JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as { packages: Record<string, { version: string }> }).packages["node_modules/@pulumi/pulumi"]!.version;
const ARCHIVE = `pulumi-v${VERSION}-linux-x64.tar.gz`;
/** So little that nobody waits long for a server that does not answer. */
const HASTY = { giveUpMs: 400, idleMs: 150, worthMs: 30_000, lookEveryMs: 20 };
/** So much that a busy machine is not taken for one. */
const PATIENT = { ...HASTY, giveUpMs: 8_000, idleMs: 8_000 };
/** As patient with silence, but not with a trickle. */
const BRISK = { ...PATIENT, giveUpMs: 1_500 };

let dir: string;
let archive: Buffer;
let servers: Server[];

before(() => {
  const made = mkdtempSync(join(tmpdir(), "vmfleet-archive-"));
  mkdirSync(join(made, "pulumi"));
  writeFileSync(join(made, "pulumi/pulumi"), `#!/bin/sh\necho v${VERSION}\n`, { mode: 0o755 });
  execFileSync("tar", ["-czf", join(made, ARCHIVE), "-C", made, "pulumi"]);
  archive = readFileSync(join(made, ARCHIVE));
  rmSync(made, { recursive: true });
});
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "vmfleet-download-"));
  servers = [];
});
afterEach(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  rmSync(dir, { recursive: true });
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/sdk`;
}

const sumsOf = (content: Buffer): string => `${"0".repeat(64)}  pulumi-v${VERSION}-darwin-x64.tar.gz\n${createHash("sha256").update(content).digest("hex")}  ${ARCHIVE}\n`;
/** A place with the release's checksums, and `answer` in place of the archive. */
const place = (answer: RequestListener, sums: RequestListener = (_request, response) => response.end(sumsOf(archive))): Promise<string> =>
  serve((request, response) => (request.url === `/sdk/${ARCHIVE}` ? answer : request.url === `/sdk/pulumi-${VERSION}-checksums.txt` ? sums : missing)(request, response));
const right: RequestListener = (_request, response) => response.setHeader("content-length", archive.length).end(archive);
const missing: RequestListener = (_request, response) => response.writeHead(404).end("no such file");
const hangs: RequestListener = () => undefined;
const stalls: RequestListener = (_request, response) => { response.setHeader("content-length", archive.length).write(archive.subarray(0, archive.length / 2)); };

const download = (places: string[], limits = PATIENT) => downloadPulumi({ version: VERSION, folder: join(dir, "cli"), places, limits, platform: "linux", arch: "x64" });
const installed = () => existsSync(join(dir, "cli/bin/pulumi"));

describe("the official Pulumi CLI", () => {
  it("is unpacked when the archive has the checksum that the release publishes", async () => {
    await download([await place(right)]);
    assert.equal(execFileSync(join(dir, "cli/bin/pulumi"), { encoding: "utf8" }), `v${VERSION}\n`);
    assert.deepEqual(readdirSync(join(dir, "cli")), ["bin"]);
  });

  for (const [what, answer, sums, why, limits] of [
    ["the server does not answer", hangs, undefined, /nothing came for 0\.15 s/, HASTY],
    ["there is no such archive", missing, undefined, /HTTP 404/],
    ["something else comes", (_request, response) => response.end("<html>Welcome to the hotel</html>"), undefined, /the archive's checksum is [0-9a-f]{64}, the release's is/],
    ["half a file comes", (_request, response) => {
      response.setHeader("content-length", archive.length).write(archive.subarray(0, archive.length / 2), () => response.destroy());
    }, undefined, /127\.0\.0\.1:\d+: \S/],
    ["it stalls half-way", stalls, undefined, /nothing came for 0\.15 s/, HASTY],
    ["it would take for ever", (_request, response) => {
      response.setHeader("content-length", 1e12);
      const timer = setInterval(() => response.write("."), 20);
      response.on("close", () => clearInterval(timer));
    }, undefined, /0 MB came in \d s: too slow/, BRISK],
    ["the checksums are of other archives", right, (_request, response) => response.end(`${"0".repeat(64)}  other.tar.gz\n`), /the release's checksums do not name pulumi-v/],
    ["the release publishes no checksums", right, missing, /the release's checksums cannot be read \(HTTP 404\)/],
    ["the checksums cannot be read", right, (_request, response) => response.writeHead(500).end(), /the release's checksums cannot be read/],
    ["the checksums do not come", right, hangs, /the release's checksums cannot be read/, { ...PATIENT, idleMs: 1_500 }],
  ] as [string, RequestListener, RequestListener | undefined, RegExp, typeof HASTY?][]) {
    it(`is not taken when ${what}`, async () => {
      await assert.rejects(download([await place(answer, sums)], limits), why);
      assert.ok(!installed());
    });
  }

  it("is not taken where nobody listens", async () => {
    const url = await place(right);
    servers[0]!.close();
    await assert.rejects(download([url]), /127\.0\.0\.1:\d+: ECONNREFUSED/);
  });

  it("is waited for longer where it comes slowly but surely", async () => {
    const steadily: RequestListener = (_request, response) => {
      response.setHeader("content-length", archive.length);
      const end = performance.now() + BRISK.giveUpMs + 200;
      let sent = 0;
      const timer = setInterval(() => {
        const next = performance.now() > end ? archive.length : Math.min(archive.length - 1, sent + 1);
        response.write(archive.subarray(sent, next));
        sent = next;
        if (sent === archive.length) { clearInterval(timer); response.end(); }
      }, 20);
    };
    await download([await place(steadily)], BRISK);
    assert.ok(installed());
  });

  it("is taken from the next place where the first fails, and with that one's checksums", async () => {
    const dead = await place(right);
    servers[0]!.close();
    await download([dead, await place(right)]);
    assert.ok(installed());
  });

  it("is not taken on trust where one place has no checksums, and the other does not answer", async () => {
    await assert.rejects(download([await place(right, missing), await place(missing, (_request, response) => response.writeHead(503).end())]), /the release's checksums cannot be read \(HTTP 404\)/);
    assert.ok(!installed());
  });

  it("is given up at the last when it stops to a trickle after a quick beginning", async () => {
    const trickles: RequestListener = (_request, response) => {
      response.setHeader("content-length", archive.length).write(archive.subarray(0, archive.length - 100));
      let sent = archive.length - 100;
      const timer = setInterval(() => { if (sent < archive.length - 1) response.write(archive.subarray(sent, ++sent)); }, 50);
      response.on("close", () => clearInterval(timer));
    };
    const began = performance.now();
    await assert.rejects(download([await place(trickles)], { ...PATIENT, giveUpMs: 300, worthMs: 600 }), /too slow/);
    assert.ok(performance.now() - began < 4_000);
  });

  it("that cannot be written fails, and nothing waits for it", async () => {
    const folder = join(dir, "cli");
    // Where the archive is to be, there is no room at all.
    const full = await place((request, response) => {
      rmSync(join(folder, ARCHIVE), { force: true });
      symlinkSync("/dev/full", join(folder, ARCHIVE));
      right(request, response);
    });
    await assert.rejects(download([full]), /ENOSPC|no space/);
  });

  it("costs at most 20 s where nothing answers", () => {
    assert.ok(placesOf(VERSION, "").length * (LIMITS.idleMs + LIMITS.lookEveryMs) <= 20_000);
    assert.ok(LIMITS.giveUpMs <= 20_000);
  });

  it("is at Pulumi's own site, then among GitHub's releases, or where the user has a mirror", () => {
    assert.deepEqual(placesOf("3.1.0", ""), ["https://get.pulumi.com/releases/sdk", "https://github.com/pulumi/pulumi/releases/download/v3.1.0"]);
    assert.deepEqual(placesOf("3.1.0", "https://mirror.example/pulumi/"), ["https://mirror.example/pulumi"]);
  });
});

describe("set-up of the Pulumi CLI", () => {
  /** In a process of its own: with this cache, this mirror, and no `pulumi` or `go` on PATH. */
  async function ensure(mirror: string): Promise<{ pulumi: { bin: string; version: string; nodejsHost: boolean } | null; reason: string; said: string[] }> {
    const path = join(dir, "path");
    if (!existsSync(path)) {
      mkdirSync(path);
      for (const program of ["tar", "gzip", "sh"]) symlinkSync(execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).trim(), join(path, program));
    }
    const program = `
      import { ensurePulumiCli } from ${JSON.stringify(join(ROOT, "scripts/lib/pulumi-cli.mjs"))};
      const said = [];
      const found = await ensurePulumiCli({ log: (line) => said.push(line) });
      console.log(JSON.stringify({ ...found, said }));`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      env: { PATH: path, HOME: dir, XDG_CACHE_HOME: join(dir, "cache"), VMFLEET_PULUMI_RELEASES: mirror }, stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => { text += chunk; });
    await once(child, "close");
    return JSON.parse(text) as Awaited<ReturnType<typeof ensure>>;
  }

  it("takes the official binary once, and has it from then on", async function () {
    if (process.platform !== "linux" || process.arch !== "x64") this.skip();
    const mirror = await place(right);
    const { pulumi, said } = await ensure(mirror);
    assert.equal(pulumi?.bin, join(dir, `cache/pulumi-vmfleet/pulumi-cli/${VERSION}/bin/pulumi`));
    assert.deepEqual(said, [`downloading the Pulumi CLI ${VERSION} into ${join(dir, "cache/pulumi-vmfleet/pulumi-cli", VERSION)}`]);
    servers[0]!.close();
    assert.deepEqual((await ensure(mirror)).said, []);
    assert.deepEqual(readdirSync(join(dir, "cache/pulumi-vmfleet/pulumi-cli")).filter((name) => name.includes("work")), []);
  }).timeout(30_000);

  it("leaves nothing of what does not run here, and says what is missing to build it", async function () {
    if (process.platform !== "linux" || process.arch !== "x64") this.skip();
    const { pulumi, reason, said } = await ensure(await place((_request, response) => response.end("not an archive")));
    assert.equal(pulumi, null);
    assert.match(reason, /building it needs Go/);
    assert.match(said.at(-1)!, /^the official binary cannot be had \(127\.0\.0\.1:\d+: the archive's checksum is/);
    assert.deepEqual(readdirSync(join(dir, "cache/pulumi-vmfleet/pulumi-cli")), []);
  }).timeout(30_000);
});
