import assert from "node:assert/strict";
import { ManualClock } from "../../manualClock";
import { VirtualClock } from "../../../provider/hypervisors/simulated/clock";
import { realClock } from "../../../provider/async/clock";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { ConnectionLostError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { openSession, Throttle } from "../../../provider/hypervisors/libvirt/connection/opening";
import { complaintOf, isEarlyRefusal, openSsh, sshArguments, sshCommand, SshError } from "../../../provider/hypervisors/libvirt/connection/ssh";
import { openUnix } from "../../../provider/hypervisors/libvirt/connection/transport";
import { parseLibvirtUri, type SshUri } from "../../../provider/hypervisors/libvirt/connection/uri";
import { bastion, fakeSsh, speakLibvirt, type FakeSsh } from "./fakeSsh";

const ssh = (query: string): SshUri => parseLibvirtUri(`qemu+ssh://root@a1:2222/system${query}`) as SshUri;
const options = { host: "a1", peer: "a1 (qemu+ssh://root@a1/system)", connectTimeoutMs: 10_000, clock: realClock };

/** Whether a process of this id is there and runs: one that nobody has waited for yet does not. */
function lives(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("ssh", function () {
  this.timeout(60_000); // processes are started, on a machine that may be busy

  it("is called with what the URI says", () => {
    const args = sshArguments(ssh("?keyfile=/k&known_hosts=/kh&no_verify=1&sshauth=privkey"), 10_000).join(" ");
    assert.match(args, /^-T -e none -o BatchMode=yes -o ConnectTimeout=10 -p 2222 -l root -i \/k -o IdentityAgent=none -o UserKnownHostsFile=\/kh -o StrictHostKeyChecking=no -- a1 sh -c /);
    assert.match(sshArguments(ssh("?known_hosts_verify=auto&sshauth=agent"), 1).join(" "), /-o IdentityFile=none -o StrictHostKeyChecking=accept-new /);
  });

  it("leaves no way for a host name or a socket path to become a shell's or its own words", () => {
    const uri = ssh(`?socket=${encodeURIComponent("/tmp/x'; touch /tmp/y; '")}`);
    assert.ok(!/[^\\']'; touch/.test(sshCommand(uri).replaceAll(`'\\''`, "")));
    const args = sshArguments({ ...uri, host: "-oProxyCommand=x" }, 1000);
    assert.ok(args.indexOf("--") < args.indexOf("-oProxyCommand=x"));
  });

  /** Runs the remote command on a "host" that has the helper or these sockets; the answer: what it would execute. */
  async function remotely(fake: FakeSsh, query: string, { helper = false, sockets = [] as string[] }): Promise<string> {
    const run = mkdtempSync(join(fake.dir, "run-"));
    const servers = await Promise.all(sockets.map((name) => new Promise<Server>((resolve) => {
      const server = createServer().listen(join(run, name), () => resolve(server));
    })));
    fake.uri("nc", "#!/bin/sh\necho nc \"$@\"\n");
    fake.uri("fake-helper", "#!/bin/sh\necho helper \"$@\"\n");
    const command = sshCommand(ssh(query)).replaceAll("/var/run/libvirt", run).replaceAll("virt-ssh-helper", helper ? "fake-helper" : "no-such-helper");
    const said = await new Promise<string>((resolve) => {
      execFile("sh", ["-c", command], { env: { PATH: `${fake.dir}:/usr/bin:/bin` } }, (_error, stdout, stderr) => resolve(stdout + stderr));
    });
    for (const server of servers) server.close();
    return said.trim().replaceAll(run, "RUN");
  }

  describe("with programs that stand for it", () => {
    let fake: FakeSsh;
    beforeEach(() => { fake = fakeSsh(); });
    afterEach(() => fake.remove());

    it("reaches whichever daemon the host has: by the helper, else by the socket that is there", async () => {
      assert.equal(await remotely(fake, "", { helper: true, sockets: ["virtqemud-sock"] }), "helper qemu:///system");
      assert.equal(await remotely(fake, "", { sockets: ["virtqemud-sock"] }), "nc -U RUN/virtqemud-sock");
      assert.equal(await remotely(fake, "", { sockets: ["virtqemud-sock", "libvirt-sock"] }), "nc -U RUN/libvirt-sock");
      assert.equal(await remotely(fake, "", {}), "nc -U RUN/libvirt-sock");
      assert.equal(await remotely(fake, "?mode=direct", { helper: true }), "nc -U RUN/virtqemud-sock");
      assert.equal(await remotely(fake, "?mode=legacy", { sockets: ["virtqemud-sock"] }), "nc -U RUN/libvirt-sock");
      assert.equal(await remotely(fake, "?proxy=netcat", { helper: true, sockets: ["virtqemud-sock"] }), "nc -U RUN/virtqemud-sock");
      assert.match(await remotely(fake, "?proxy=native", {}), /no-such-helper: not found/);
    });

    it("says what it said, though something in the background keeps its output open, and leaves nothing behind", async () => {
      const pidFile = join(fake.dir, "pid");
      const uri = fake.uri("ssh", `#!/bin/sh\nsleep 1000 &\necho $! > ${pidFile}\necho "root@a1: Permission denied (publickey)." >&2\nexit 255\n`);
      const begun = performance.now();
      await assert.rejects(openSession(parseLibvirtUri(uri), options), (e) => e instanceof ConnectionLostError && /ended with code 255: root@a1: Permission denied/.test(e.message));
      assert.ok(performance.now() - begun < 5_000);
      const pid = Number(readFileSync(pidFile, "utf8"));
      await until(() => !lives(pid));
    });

    it("is asked what it said so far when the time is over", async () => {
      const uri = fake.uri("ssh", "#!/bin/sh\necho 'Confirm user presence for key ED25519-SK' >&2\nexec sleep 1000\n");
      await assert.rejects(openSession(parseLibvirtUri(uri), { ...options, connectTimeoutMs: 2_000 }), /a1 did not answer within 2 s; ssh says: Confirm user presence/);
    });

    it("ends with the connection, and all that it started", async () => {
      const pidFile = join(fake.dir, "pid");
      const uri = fake.uri("ssh", `#!/bin/sh\nsleep 1000 &\necho $$ $! > ${pidFile}.new\nmv ${pidFile}.new ${pidFile}\nwait\n`);
      const stream = openSsh(parseLibvirtUri(uri) as SshUri, 10_000, realClock);
      await until(() => existsSync(pidFile));
      const pids = readFileSync(pidFile, "utf8").trim().split(" ").map(Number);
      assert.ok(pids.every(lives));
      stream.destroy();
      await until(() => !pids.some(lives));
    });

    it("ends with this process, which may end before anybody closes anything", async () => {
      const pidFile = join(fake.dir, "pid");
      const uri = fake.uri("ssh", `#!/bin/sh\necho $$ > ${pidFile}.new\nmv ${pidFile}.new ${pidFile}\nexec 0</dev/null sleep 1000\n`);
      const program = `
        const { openSsh } = require("./provider/hypervisors/libvirt/connection/ssh");
        const { parseLibvirtUri } = require("./provider/hypervisors/libvirt/connection/uri");
        const { realClock } = require("./provider/async/clock");
        openSsh(parseLibvirtUri(${JSON.stringify(uri)}), 1000, realClock);
        setInterval(() => { if (require("fs").existsSync(${JSON.stringify(pidFile)})) process.exit(0); }, 5);`;
      await new Promise<void>((resolve, reject) => {
        execFile(process.execPath, ["--require", "tsx/cjs", "-e", program], { cwd: join(__dirname, "../../..") }, (error) => (error ? reject(error) : resolve()));
      });
      const pid = Number(readFileSync(pidFile, "utf8"));
      await until(() => !lives(pid));
    });

    it("is tried again where an sshd on the way takes few at once, with fewer at once, until all are through", async () => {
      const gate = await bastion(fake.dir, 2, 30);
      try {
        const uri = parseLibvirtUri(fake.uri("ssh", gate.script));
        const throttle = new Throttle();
        const clients = await Promise.all(Array.from({ length: 10 }, () => openSession(uri, { ...options, connectTimeoutMs: 60_000 }, { throttle })));
        for (const client of clients) {
          assert.equal(await client.hostname(), "a1");
          client.close();
        }
        assert.ok(gate.dropped > 0 && gate.most <= 2, `${gate.dropped} dropped`);
        assert.ok(throttle.limit < 8 + 10);
      } finally {
        gate.close();
      }
    });

    it("is given up at the deadline where all are refused, and says how often and what to do", async () => {
      const uri = fake.uri("ssh", "#!/bin/sh\necho 'kex_exchange_identification: read: Connection reset by peer' >&2\nexit 255\n");
      await assert.rejects(openSession(parseLibvirtUri(uri), { ...options, connectTimeoutMs: 400 }, { random: () => 0.5 }),
        /Connection reset by peer \(\d+ times in 0\.4 s: an sshd on the way takes too few connections at once; raise its MaxStartups/);
    });

    it("is not tried again where it was refused for good", async () => {
      const count = join(fake.dir, "count");
      const uri = fake.uri("ssh", `#!/bin/sh\necho x >> ${count}\necho 'root@jump: Permission denied (publickey).' >&2\necho 'kex_exchange_identification: Connection closed by remote host' >&2\nexit 255\n`);
      await assert.rejects(openSession(parseLibvirtUri(uri), options), /Permission denied \(publickey\)\.; kex_exchange/);
      assert.equal(readFileSync(count, "utf8"), "x\n");
    });

    it("that is not there is said", async () => {
      await assert.rejects(openSession(ssh("?command=/no/such/ssh"), options), /cannot run ssh: spawn \/no\/such\/ssh ENOENT/);
    });

    it("whose other end prints before the daemon speaks is told by what it printed", async () => {
      const uri = fake.uri("ssh", "#!/bin/sh\necho 'Welcome to a1'\nexec cat >/dev/null\n");
      await assert.rejects(openSession(parseLibvirtUri(uri), options), /does not speak libvirt's protocol \(it began with "Welcome to a1"\)/);
    });
  });

  it("is quoted whole, without frames and without what it says of every new host", () => {
    assert.equal(complaintOf("nc: invalid option -- 'U'\nnc -h for help\n"), "nc: invalid option -- 'U'; nc -h for help");
    assert.equal(complaintOf([
      "Warning: Permanently added 'a1' (ED25519) to the list of known hosts.", "@@@@@@@@@@@@@@@", "@   WARNING: UNPROTECTED PRIVATE KEY FILE!   @", "@@@@@@@@@@@@@@@",
      "Permissions 0644 for '/k' are too open.", "root@a1: Permission denied (publickey).\r", "",
    ].join("\n")), "WARNING: UNPROTECTED PRIVATE KEY FILE!; Permissions 0644 for '/k' are too open.; root@a1: Permission denied (publickey).");
    assert.ok(complaintOf("x".repeat(10_000)).length <= 801);
  });

  it("is refused early only where nothing was said and nothing else was wrong", () => {
    const dropped = "kex_exchange_identification: Connection closed by remote host\r\n";
    assert.equal(isEarlyRefusal(255, dropped), true);
    assert.equal(isEarlyRefusal(255, `a banner\n${dropped}Connection closed by UNKNOWN port 65535`), true);
    assert.equal(isEarlyRefusal(255, "ssh_exchange_identification: read: Connection reset by peer"), true);
    assert.equal(isEarlyRefusal(1, dropped), false);
    for (const good of ["Host key verification failed.", "channel 0: open failed: connect failed: Connection refused", "ssh: Could not resolve hostname a1"]) {
      assert.equal(isEarlyRefusal(255, `${good}\n${dropped}`), false);
    }
    assert.equal(isEarlyRefusal(255, "root@a1: Permission denied (publickey)."), false);
  });
});

describe("the number of attempts at once", () => {
  const clock = new VirtualClock();
  const refused = new ConnectionLostError("", { cause: new SshError("", true) });

  it("grows with each that got through, up to the most", async () => {
    const throttle = new Throttle(8, 10);
    for (const limit of [9, 10, 10]) {
      await throttle.run(clock, () => Promise.resolve());
      assert.equal(throttle.limit, limit);
    }
    await assert.rejects(throttle.run(clock, () => Promise.reject(new Error("another"))));
    assert.equal(throttle.limit, 10);
  });

  it("halves where some are dropped, once for all that were on their way, and grows slowly from there", async () => {
    const throttle = new Throttle(8);
    await Promise.allSettled(Array.from({ length: 8 }, () => throttle.run(clock, () => Promise.reject(refused))));
    assert.equal(throttle.limit, 4);
    for (const limit of [2, 1, 1]) {
      await assert.rejects(throttle.run(clock, () => Promise.reject(refused)));
      assert.equal(throttle.limit, limit);
    }
    for (const limit of [2, 2, 2, 3]) {
      await throttle.run(clock, () => Promise.resolve());
      assert.equal(throttle.limit, limit);
    }
  });

  it("is never more than that, and nobody is forgotten in line", async () => {
    const throttle = new Throttle(3, 3, 60_000);
    let under = 0;
    let most = 0;
    await Promise.all(Array.from({ length: 20 }, () => throttle.run(new ManualClock(), async () => {
      most = Math.max(most, ++under);
      await new Promise(setImmediate);
      under--;
    })));
    assert.equal(most, 3);
  });

  it("does not let dead hosts keep the living ones waiting", async () => {
    const throttle = new Throttle(1, 1, 5);
    const dead = throttle.run(clock, () => new Promise<void>(() => undefined));
    await throttle.run(clock, () => Promise.resolve());
    void dead;
  });
});

describe("daemons on this machine", () => {
  let fake: FakeSsh;
  const servers: Server[] = [];
  const listen = (name: string): Promise<string> => new Promise((resolve) => {
    const path = join(fake.dir, name);
    servers.push(createServer(speakLibvirt).listen(path, () => resolve(path)));
  });
  beforeEach(() => { fake = fakeSsh(); });
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
    fake.remove();
  });

  it("are found at the modular daemon's socket or at libvirtd's, whichever somebody listens on", async () => {
    const legacy = await listen("libvirt-sock");
    const direct = join(fake.dir, "virtqemud-sock");
    (await openUnix([direct, legacy], 1_000, realClock)).destroy();
    await listen("virtqemud-sock");
    (await openUnix([direct, legacy], 1_000, realClock)).destroy();
  });

  it("that are not there are named with both their sockets, and the way out", async () => {
    await assert.rejects(openUnix([join(fake.dir, "virtqemud-sock"), join(fake.dir, "libvirt-sock")], 1_000, realClock),
      (e) => e instanceof ConnectionLostError && /no libvirt daemon listens on .*virtqemud-sock or .*libvirt-sock \(ENOENT\): .*\?socket=/.test(e.message));
  });
});
