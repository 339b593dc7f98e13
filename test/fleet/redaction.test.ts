import assert from "node:assert/strict";
import fc from "fast-check";
import { formatProblem, holdsPassword, parseFleetSpec, redact } from "../../provider/fleet";
import { redactValue } from "../../provider/fleet/words/redaction";
import { redactError } from "../../provider/front/redacting";
import { host, inputs } from "./build";

/** Known by its ends, whatever stands between them. */
const password = fc.oneof(fc.string({ maxLength: 12 }), fc.string({ unit: fc.constantFrom(..."/@:?#%&;=+ []\"'\\1a"), maxLength: 12 }))
  .map((middle) => `S3kr${middle}tEnd`);
/** In free text a URI ends at white space. */
const oneWord = password.filter((one) => !/\s/.test(one));
const shows = (text: string): boolean => text.includes("S3kr") || text.includes("tEnd");
const around = fc.record({
  scheme: fc.constantFrom("qemu+ssh", "qemu+tcp", "qemu", "qemu+http", "http"),
  user: fc.constantFrom("", "root", "svc@corp.example", "DOMAIN/user"),
  server: fc.constantFrom("a1", "a1:2222", "[fd00::1]", "[fd00::1]:22", ""),
  rest: fc.constantFrom("/system", "/session", "", "/system?keyfile=/k", "/system?socket=/run/a@b&foo=1", "/system#x"),
});
const withPassword = ({ scheme, user, server, rest }: { scheme: string; user: string; server: string; rest: string }, secret: string): string =>
  `${scheme}://${user}:${secret}@${server}${rest}`;

describe("redaction", () => {
  it("takes the password out of every URI in a text", () => {
    assert.equal(redact("a qemu+ssh://u:p@h/system b qemu+tcp://x:y@z/"), "a qemu+ssh://u:***@h/system b qemu+tcp://x:***@z/");
    assert.equal(redact('got "qemu+ssh://root:s3/cret@a1/system"; mend it'), 'got "qemu+ssh://root:***@a1/system"; mend it');
  });

  it("leaves ports, users and paths with an @ alone", () => {
    for (const text of ["qemu+ssh://root@a1:2222/system", "(qemu+ssh://svc@corp@a1:2222/system?keyfile=/k@b)", "qemu:///system?socket=/a:b@c", "10.0.0.1:10809", "http://[fd00::1]:80/"]) {
      assert.equal(redact(text), text);
    }
  });

  it("leaves all that follows the host of a URI that can be read alone, whatever its scheme and its parameters", () => {
    for (const scheme of ["qemu", "qemu+ssh", "x", "x1"]) {
      for (const rest of ["root@a1:22/system?keyfile=/k@b", "a1:22/session?keyfile=/k@b&sshauth=agent", "a1:22/system#x@y", "/system?socket=/a:b@c&mode="]) {
        for (const [before, after] of [["", ""], ["at ", "; mend it"], ["(", ")."]] as const) assert.equal(redact(`${before}${scheme}://${rest}${after}`), `${before}${scheme}://${rest}${after}`);
      }
    }
    assert.equal(redact("qemu+ssh://u:p@a1/system?keyfile=/a@b"), "qemu+ssh://u:***@a1/system?keyfile=/a@b");
  });

  it("takes a password for one although it looks like a port, a path or parameters", () => {
    for (const secret of ["secret/system?k=v", "12/systemic", "12/system?secret", "12/system?k=v&secret", "12/system?se%cret=v", "12x/system", "x12/system"]) {
      assert.equal(redact(`a qemu+ssh://root:${secret}@a1/system b`), "a qemu+ssh://root:***@a1/system b");
      assert.equal(redactValue(`qemu+ssh://root:${secret}@a1`), "qemu+ssh://root:***@a1");
    }
  });

  it("leaves a port alone where the URI cannot be read, and takes the password out where its scheme is missing", () => {
    assert.equal(redact("qemu+ssh://root@a1:22/other"), "qemu+ssh://root@a1:22/other");
    assert.equal(redact("at //root:secret@a1/x"), "at //root:***@a1/x");
    assert.equal(redactValue(" qemu+ssh://root:secret@a1/system"), " qemu+ssh://root:***@a1/system");
    assert.equal(redactValue("//root:secret@a1"), "//root:***@a1");
    assert.equal(redactValue("root:se/x:/cret@a1"), "root:***@a1");
  });

  it("takes it out of a value whose slashes are missing", () => {
    assert.equal(redactValue("root:secret@a1"), "root:***@a1");
    assert.equal(redactValue("qemu+ssh:/root:secret@a1/system"), "qemu+ssh:/root:***@a1/system");
    assert.ok(!redactValue("qemu+ssh:root:secret@a1").includes("secret"));
  });

  it("changes nothing that it has been over already", () => {
    fc.assert(fc.property(around, password, (uri, secret) => {
      const once = redact(withPassword(uri, secret));
      assert.equal(redact(once), once);
    }), { seed: 25 });
  });

  it("shows no password of any URI, in whatever sentence it stands", () => {
    fc.assert(fc.property(around, oneWord, fc.constantFrom(["", ""], ["a1 (", "): lost"], ['got "', '"; mend it'], ["connection to ", ", then more a@b"]), (uri, secret, [before, after]) => {
      const shown = redact(`${before}${withPassword(uri, secret)}${after}`);
      assert.ok(!shows(shown), shown);
    }), { numRuns: 1_000, seed: 25 });
  });

  it("knows of each such URI that it holds one, and of none without", () => {
    fc.assert(fc.property(around, password, (uri, secret) => holdsPassword(withPassword(uri, secret))), { numRuns: 500, seed: 25 });
    for (const uri of ["qemu:///system", "qemu+ssh://root@a1:22/system?keyfile=/k@b", "qemu+tcp://[fd00::1]/system"]) assert.equal(holdsPassword(uri), false, uri);
  });

  it("shows no password in what check says, wherever the URI was put", () => {
    const places: ((uri: string) => Record<string, unknown>)[] = [
      (uri) => inputs({ hosts: [host("a1", { uri }), host("a2", { uri })] }),
      (uri) => inputs({ hosts: [host("a1", { uri: uri.replace("://", ":") })] }),
      (uri) => inputs({ hosts: [host(uri), host("a2", { rack: uri })], racks: [{ name: uri }] }),
      (uri) => inputs({ hosts: [host("a1", { transferAddress: uri, pool: "", rack: uri })] }),
      (uri) => inputs({ [uri]: 1, hosts: [host("a1", { [uri]: 1 })] }),
      (uri) => inputs({ template: { host: uri, volume: uri, domain: uri }, abandonHosts: [uri], namePrefix: uri }),
      (uri) => ({ ...inputs(), hosts: uri }),
      (uri) => ({ ...inputs(), hosts: [uri, host("a2", { transferPorts: uri })] }),
    ];
    fc.assert(fc.property(around, password, fc.constantFrom(...places), fc.boolean(), (uri, secret, place, planning) => {
      const { problems } = parseFleetSpec(place(withPassword(uri, secret)), { planning });
      for (const problem of problems ?? []) assert.ok(!shows(formatProblem(problem)), formatProblem(problem));
    }), { numRuns: 1_500, seed: 25 });
  });

  it("shows no password in what is thrown: message, stack, causes, reasons", () => {
    fc.assert(fc.property(around, oneWord, (uri, secret) => {
      const text = `cannot reach ${withPassword(uri, secret)} now`;
      const error = Object.assign(new Error(text, { cause: new Error(text) }), { reasons: [text], problems: [{ path: "", message: text }] });
      const safe = redactError(error) as typeof error;
      assert.ok(!shows(`${safe.message}${safe.stack}${(safe.cause as Error).stack}${JSON.stringify([safe.reasons, safe.problems])}`));
    }), { numRuns: 200, seed: 25 });
  });
});
