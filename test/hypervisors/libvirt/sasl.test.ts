import assert from "node:assert/strict";
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { readCredentials } from "../../../provider/hypervisors/libvirt/connection/pki";
import { readAuthFile } from "../../../provider/hypervisors/libvirt/connection/authFile";
import { authenticate, type Ask, type Authentication } from "../../../provider/hypervisors/libvirt/rpc/authentication";
import { ConnectionLostError, LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { Proc } from "../../../provider/hypervisors/libvirt/rpc/protocol";
import { chooseMechanism, saslClient } from "../../../provider/hypervisors/libvirt/rpc/sasl";
import { XdrReader, XdrWriter } from "../../../provider/hypervisors/libvirt/rpc/xdr";

describe("SASL by SCRAM", () => {
  it("says what RFC 7677 and RFC 5802 say in their examples", async () => {
    const strong = saslClient("SCRAM-SHA-256", "user", "pencil", "a1", "rOprNGfwEbeRWgbNEkqO");
    assert.equal(strong.first().toString(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    assert.equal(String(await strong.answer(Buffer.from("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"))),
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert.equal(strong.isDone, false, "the daemon has not shown yet that it knows the password");
    assert.equal(await strong.answer(Buffer.from("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")), undefined);
    assert.equal(strong.isDone, true);

    const old = saslClient("SCRAM-SHA-1", "user", "pencil", "a1", "fyko+d2lbbFgONRv9qkxdawL");
    assert.match(String(await old.answer(Buffer.from("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"))), /p=v0X8v3Bz2T0CJGbJQyF0X\+HI4Ts=$/);
    await old.answer(Buffer.from("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="));
  });

  it("escapes what a name may hold, and takes letters for what they look like", () => {
    assert.equal(saslClient("SCRAM-SHA-256", "a=b,c", "x", "a1", "n").first().toString(), "n,,n=a=3Db=2Cc,r=n");
    assert.equal(saslClient("SCRAM-SHA-256", "I\u00adX\u00a0\u2168", "x", "a1", "n").first().toString(), "n,,n=IX IX,r=n");
  });

  const WRONG: [what: string, challenge: string, message: RegExp][] = [
    ["another nonce", "r=other,s=AAAA,i=4096", /does not answer as SCRAM does/],
    ["its own nonce alone", "r=mine,s=AAAA,i=4096", /does not answer as SCRAM does/],
    ["no salt", "r=mine2,i=4096", /does not answer as SCRAM does/],
    ["no rounds", "r=mine2,s=AAAA,i=0", /does not answer as SCRAM does/],
    ["rounds without end", "r=mine2,s=AAAA,i=999999999", /asks for 999999999 rounds of SCRAM, expected 4096 to 1000000/],
    ["too few rounds", "r=mine2,s=AAAA,i=4095", /asks for 4095 rounds of SCRAM, expected 4096/],
    ["what is not known yet", "m=x,r=mine2,s=AAAA,i=4096", /does not answer as SCRAM does/],
  ];
  for (const [what, challenge, message] of WRONG) {
    it(`ends where the daemon gives ${what}`, async () => {
      await assert.rejects(async () => saslClient("SCRAM-SHA-256", "user", "x", "a1", "mine").answer(Buffer.from(challenge)), message);
    });
  }

  it("takes nobody for the host who does not know the password, whatever is said", async () => {
    await fc.assert(fc.asyncProperty(fc.oneof(fc.string(), fc.base64String().map((text) => `v=${text}`)), async (text) => {
      const client = saslClient("SCRAM-SHA-256", "user", "pencil", "a1", "mine");
      await client.answer(Buffer.from("r=mine2,s=AAAA,i=4096"));
      await assert.rejects(async () => client.answer(Buffer.from(text)), ConnectionLostError);
      assert.equal(client.isDone, false);
    }), { numRuns: 50 });
  });
});

/** A daemon with one account, as libvirtd with Cyrus SASL answers; `extraTurn`: it wants to hear an empty answer to its proof. */
function daemon({ offers = "SCRAM-SHA-256", password = "pencil", types = [1], extraTurn = false }: { offers?: string; password?: string; types?: number[]; extraTurn?: boolean } = {}): Ask & { calls: number[] } {
  const calls: number[] = [];
  let first = "";
  let challenge = "";
  const reply = (isComplete: boolean, text?: string): XdrReader => {
    const out = new XdrWriter().i32(isComplete ? 1 : 0).i32(text === undefined ? 1 : 0).u32(text?.length ?? 0);
    for (const byte of Buffer.from(text ?? "", "latin1")) out.i32(byte);
    return new XdrReader(out.toBuffer());
  };
  const chars = (reader: XdrReader): string | undefined => {
    const isNothing = reader.i32() === 1;
    const text = Buffer.from(reader.list((one) => one.i32() & 0xff)).toString("utf8");
    return isNothing ? undefined : text;
  };
  const hmac = (key: Buffer, text: string) => createHmac("sha256", key).update(text).digest();
  const salted = pbkdf2Sync(password, Buffer.from("salt"), 4096, 32, "sha256");
  let isProven = false;
  const ask = async (proc: number, _name: string, args: XdrWriter): Promise<XdrReader> => {
    calls.push(proc);
    const reader = new XdrReader(args.toBuffer());
    switch (proc) {
      case Proc.authList: {
        const out = new XdrWriter().u32(types.length);
        for (const type of types) out.u32(type);
        return new XdrReader(out.toBuffer());
      }
      case Proc.authPolkit: return new XdrReader(Buffer.alloc(0));
      case Proc.authSaslInit: return new XdrReader(new XdrWriter().string(offers).toBuffer());
      case Proc.authSaslStart: {
        const mechanism = reader.string();
        const said = chars(reader)!;
        if (mechanism === "PLAIN") {
          if (said !== `\0fred\0${password}`) throw new LibvirtError(45, 7, "authentication failed");
          return reply(true);
        }
        first = said.slice(3);
        challenge = `r=${first.split("r=")[1]}more,s=${Buffer.from("salt").toString("base64")},i=4096`;
        return reply(false, challenge);
      }
      default: {
        const said = chars(reader);
        if (isProven) return reply(true);
        const [withoutProof, proof] = said!.split(",p=") as [string, string];
        const all = `${first},${challenge},${withoutProof}`;
        const key = hmac(salted, "Client Key");
        const expected = key.map((byte, index) => byte ^ hmac(createHash("sha256").update(key).digest(), all)[index]!);
        if (Buffer.from(expected).toString("base64") !== proof) throw new LibvirtError(45, 7, "authentication failed");
        isProven = true;
        return reply(!extraTurn, `v=${hmac(hmac(salted, "Server Key"), all).toString("base64")}`);
      }
    }
  };
  return Object.assign(ask, { calls });
}

const known = (changes: Partial<Authentication> = {}): Authentication => ({ isPrivate: true, credentials: () => ({ name: "fred", password: "pencil", place: "/auth.conf" }), ...changes });

describe("authentication at a daemon", () => {
  it("is none where none is wanted, polkit's where it asks, and nobody's password is looked up for either", async () => {
    const never = known({ credentials: () => assert.fail("must not be asked") });
    const calls = async (types: number[], auth = never) => {
      const asked = daemon({ types });
      await authenticate(asked, "a1", auth);
      return asked.calls.slice(1);
    };
    assert.deepEqual(await Promise.all([calls([0]), calls([]), calls([1, 0]), calls([2]), calls([1, 2])]), [[], [], [], [Proc.authPolkit], [Proc.authPolkit]]);
    assert.deepEqual(await calls([1, 2], { ...never, wish: { kind: "polkit" } }), [Proc.authPolkit]);
    await assert.rejects(calls([2], known({ wish: { kind: "sasl" } })), /a1 does not authenticate by sasl: remove auth= from the URI/);
  });

  it("is SASL's to its end, whether or not the daemon wants to be answered to its proof", async () => {
    for (const extraTurn of [false, true]) await authenticate(daemon({ offers: "DIGEST-MD5 SCRAM-SHA-256,PLAIN", extraTurn }), "a1", known());
    await authenticate(daemon({ offers: "PLAIN" }), "a1", known());
    await authenticate(daemon({ offers: "PLAIN,SCRAM-SHA-256", types: [0, 1] }), "a1", known({ wish: { kind: "sasl", mechanism: "PLAIN" } }));
  });

  it("tells a wrong password, a missing one and a mechanism that is not spoken apart", async () => {
    await assert.rejects(authenticate(daemon({ password: "other" }), "a1", known()), /^ConnectionLostError: a1 refuses "fred" with the password in \/auth\.conf \(SASL SCRAM-SHA-256\)/);
    await assert.rejects(authenticate(daemon({ password: "other", offers: "PLAIN" }), "a1", known()), /a1 refuses "fred"/);
    await assert.rejects(authenticate(daemon(), "a1", known({ credentials: () => ({ name: "fred", place: "/auth.conf" }) })), /asks for a name and a password \(SASL SCRAM-SHA-256\), and \/auth\.conf has no password for it/);
    await assert.rejects(authenticate(daemon(), "a1", known({ credentials: () => ({ place: "/auth.conf" }) })), /has no authname for it: add \[credentials-x\]/);
    await assert.rejects(authenticate(daemon({ offers: "GSSAPI" }), "a1", known()), /a1 offers SASL by GSSAPI, and this version needs one of SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1 or PLAIN: add scram-sha-256 to mech_list/);
  });

  it("sends no password as it is where others may listen", () => {
    assert.throws(() => chooseMechanism(["PLAIN"], undefined, { peer: "a1", isPrivate: false }), /offers SASL by PLAIN, and this version needs one of SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1:/);
    assert.throws(() => chooseMechanism(["PLAIN"], "PLAIN", { peer: "a1", isPrivate: false }), /needs one of PLAIN/);
    assert.equal(chooseMechanism(["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-512"], undefined, { peer: "a1", isPrivate: false }), "SCRAM-SHA-512");
  });

  it("ends where a daemon says that all is done before it has shown who it is, or never ends", async () => {
    const scram = (turn: () => XdrReader): Ask => async (proc, name, args) => (proc === Proc.authSaslStart || proc === Proc.authSaslStep ? turn() : daemon()(proc, name, args));
    const done = new XdrWriter().i32(1).i32(1).u32(0).toBuffer();
    await assert.rejects(authenticate(scram(() => new XdrReader(done)), "a1", known()), ConnectionLostError);
    const plain: Ask = async (proc, name, args) => (proc === Proc.authSaslStart || proc === Proc.authSaslStep
      ? new XdrReader(new XdrWriter().i32(0).i32(1).u32(0).toBuffer()) : daemon({ offers: "PLAIN" })(proc, name, args));
    await assert.rejects(authenticate(plain, "a1", known()), /does not speak SASL PLAIN to its end/);
  });
});

describe("certificates are looked for where libvirt's client looks", () => {
  it("in the user's folder and then the machine's; root's are the machine's alone", () => {
    const dir = mkdtempSync(join(tmpdir(), "vmfleet-pki-"));
    try {
      const uri = { transport: "tls", name: "qemu:///system", host: "a1", port: 1, verifies: true, isSane: true } as const;
      const world = { home: join(dir, "home"), directory: join(dir, "etc"), isRoot: false };
      assert.throws(() => readCredentials(uri, world), /expected .*\/etc\/CA\/cacert\.pem, the certificate of the authority that vouches for a1/);
      mkdirSync(join(dir, "home/.pki/libvirt"), { recursive: true });
      writeFileSync(join(dir, "home/.pki/libvirt/cacert.pem"), "nothing");
      assert.throws(() => readCredentials(uri, world), /in PEM in .*home\/\.pki\/libvirt\/cacert\.pem, got none/);
      assert.throws(() => readCredentials(uri, { ...world, isRoot: true }), /expected .*\/etc\/CA\/cacert\.pem/);
      assert.throws(() => readCredentials({ ...uri, pkiPath: join(dir, "own") }, world), /expected .*\/own\/cacert\.pem/);
      assert.deepEqual(readCredentials({ ...uri, verifies: false, pkiPath: join(dir, "own") }, world), {
        certificatePlace: join(dir, "own/clientcert.pem"), keyPlace: join(dir, "own/clientkey.pem"), authorityPlace: join(dir, "own/cacert.pem"), revokedPlace: join(dir, "own/cacrl.pem"),
      });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe("libvirt's file with names and passwords", () => {
  let dir: string;
  beforeEach(() => { dir = mkdtempSync(join(tmpdir(), "vmfleet-auth-")); });
  afterEach(() => { rmSync(dir, { recursive: true }); });
  const world = (env: NodeJS.ProcessEnv = {}) => ({ env, home: join(dir, "home"), directory: join(dir, "etc") });
  const put = (path: string, text: string): string => {
    mkdirSync(join(dir, path, ".."), { recursive: true });
    writeFileSync(join(dir, path), text);
    return join(dir, path);
  };
  const TEXT = "# mine\n[credentials-x]\n authname = fred\n;password=no\npassword= p=1 # 2 \n[credentials-y]\nusername=wilma\n\n[auth-libvirt-a1.example]\ncredentials=x\n[auth-libvirt-default]\ncredentials=y\n";

  it("gives a host its own, any other the default ones", () => {
    const place = put("auth.conf", TEXT);
    assert.deepEqual(readAuthFile(place, "a1.example", world()), { place, name: "fred", password: "p=1 # 2 " });
    assert.deepEqual(readAuthFile(place, "b1", world()), { place, name: "wilma" });
    assert.deepEqual(readAuthFile(put("empty.conf", "[auth-libvirt-b1]\ncredentials=none\n"), "b1", world()), { place: join(dir, "empty.conf") });
  });

  it("is looked for where libvirt's client looks: in the environment, the URI, the user's folder, the machine's", () => {
    const places = (env?: NodeJS.ProcessEnv, given?: string) => readAuthFile(given, "a1", world(env)).place;
    assert.equal(places(), join(dir, "etc/auth.conf"));
    const user = put("home/.config/libvirt/auth.conf", TEXT);
    const xdg = put("xdg/libvirt/auth.conf", TEXT);
    assert.deepEqual([places(), places({ XDG_CONFIG_HOME: join(dir, "xdg") }), places({ LIBVIRT_AUTH_FILE: xdg }), places({ LIBVIRT_AUTH_FILE: xdg }, user), places({}, xdg)], [user, xdg, xdg, xdg, xdg]);
  });

  it("may be missing, unless somebody named it", () => {
    assert.deepEqual(readAuthFile(undefined, "a1", world()), { place: join(dir, "etc/auth.conf") });
    assert.throws(() => readAuthFile(join(dir, "none"), "a1", world()), /the file with names and passwords .*none cannot be read: ENOENT/);
    assert.throws(() => readAuthFile(undefined, "a1", world({ LIBVIRT_AUTH_FILE: join(dir, "none") })), /cannot be read/);
  });
});
