/**
 * The client's half of SASL's mechanisms that this version speaks: SCRAM (RFC 5802, RFC 7677) without channel binding, and
 * PLAIN (RFC 4616). SCRAM never sends the password, and proves that the daemon knows it, too.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { SASL_MECHANISMS, type SaslMechanism } from "../../../fleet";
import { ConnectionLostError } from "./errors";

const derive = promisify(pbkdf2);

/**
 * Of the hash that guards the password. Fewer make it cheap to guess for whoever hears the proof (RFC 7677 asks for as many
 * at least); more would let one daemon keep this process's few threads busy, and every other host waiting.
 */
const ROUNDS = { least: 4_096, most: 1_000_000 };

/** One authentication: what to say first, and what to each answer. */
export interface SaslClient {
  first(): Buffer;
  /** @returns undefined: nothing is left to say. @throws where the daemon is not who it should be, or speaks otherwise */
  answer(challenge: Buffer): Promise<Buffer | undefined>;
  /** Whether all was said and proven. */
  readonly isDone: boolean;
}

export interface SaslPeer {
  /** The daemon, in messages. */
  peer: string;
  /** Whether others may listen on the way: then no password goes over it as it is. */
  isPrivate: boolean;
}

const MOST_NAMED = 20;
/**
 * The best of those the daemon offers.
 * @throws ConnectionLostError where there is none that both speak
 */
export function chooseMechanism(offered: readonly string[], wish: SaslMechanism | undefined, { peer, isPrivate }: SaslPeer): SaslMechanism {
  const speakable = SASL_MECHANISMS.filter((one) => (wish === undefined || one === wish) && (one !== "PLAIN" || isPrivate));
  const chosen = speakable.find((one) => offered.includes(one));
  if (chosen) return chosen;
  const wanted = wish ?? SASL_MECHANISMS.filter((one) => one.startsWith("SCRAM")).join(", ");
  const named = offered.filter((one) => /^[A-Z0-9_-]{1,20}$/.test(one)).slice(0, MOST_NAMED);
  throw new ConnectionLostError(`${peer} offers SASL by ${named.join(", ") || "no mechanism"}, and this version needs one of ${wanted}${isPrivate ? " or PLAIN" : ""}: ` +
    "add scram-sha-256 to mech_list in the host's sasl2/libvirt.conf, and use qemu+tls or qemu+ssh");
}

/** @param nonce passed in for tests */
export function saslClient(mechanism: SaslMechanism, name: string, password: string, peer: string, nonce = randomBytes(24).toString("base64")): SaslClient {
  return mechanism === "PLAIN" ? new Plain(name, password) : new Scram(mechanism, name, password, peer, nonce);
}

class Plain implements SaslClient {
  isDone = false;
  constructor(private readonly name: string, private readonly password: string) {}

  first(): Buffer {
    this.isDone = true;
    return Buffer.from(`\0${this.name}\0${this.password}`, "utf8");
  }
  answer(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}

const HASHES = { "SCRAM-SHA-512": "sha512", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1" } as const;
/** No channel binding, and no name but one's own. */
const GS2_HEADER = "n,,";

class Scram implements SaslClient {
  isDone = false;
  private readonly hash: string;
  private readonly bare: string;
  private expectedProof: Buffer | undefined;

  constructor(mechanism: keyof typeof HASHES, name: string, private readonly password: string, private readonly peer: string, private readonly nonce: string) {
    this.hash = HASHES[mechanism];
    this.bare = `n=${prepared(name).replace(/=/g, "=3D").replace(/,/g, "=2C")},r=${nonce}`;
  }

  first(): Buffer {
    return Buffer.from(GS2_HEADER + this.bare, "utf8");
  }

  answer(challenge: Buffer): Promise<Buffer | undefined> {
    const text = challenge.toString("utf8");
    return this.expectedProof ? Promise.resolve(this.verify(text)) : this.prove(text);
  }

  private async prove(challenge: string): Promise<Buffer> {
    const { r: nonce, s: salt, i: rounds, m: extension } = attributes(challenge);
    if (extension !== undefined || nonce === undefined || salt === undefined || !nonce.startsWith(this.nonce) || nonce === this.nonce || !/^[1-9]\d{0,8}$/.test(rounds ?? "")) {
      throw new ConnectionLostError(`${this.peer} does not answer as SCRAM does`);
    }
    if (Number(rounds) < ROUNDS.least || Number(rounds) > ROUNDS.most) {
      throw new ConnectionLostError(`${this.peer} asks for ${rounds} rounds of SCRAM, expected ${ROUNDS.least} to ${ROUNDS.most}: make the password anew there`);
    }
    const size = createHash(this.hash).digest().length;
    const salted = await derive(prepared(this.password), Buffer.from(salt, "base64"), Number(rounds), size, this.hash);
    const clientKey = this.hmac(salted, "Client Key");
    const withoutProof = `c=${Buffer.from(GS2_HEADER).toString("base64")},r=${nonce}`;
    const said = `${this.bare},${challenge},${withoutProof}`;
    const signature = this.hmac(createHash(this.hash).update(clientKey).digest(), said);
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ signature[index]!));
    this.expectedProof = this.hmac(this.hmac(salted, "Server Key"), said);
    return Buffer.from(`${withoutProof},p=${proof.toString("base64")}`, "utf8");
  }

  private verify(challenge: string): undefined {
    const { v: given, e: error } = attributes(challenge);
    if (error !== undefined) throw new ConnectionLostError(`${this.peer} refuses the name or the password${/^[a-z-]{1,40}$/.test(error) ? `: ${error}` : ""}`);
    const proof = Buffer.from(given ?? "", "base64");
    if (proof.length !== this.expectedProof!.length || !timingSafeEqual(proof, this.expectedProof!)) {
      throw new ConnectionLostError(`${this.peer} does not know the password that it asks for: it is not who it should be`);
    }
    this.isDone = true;
    return undefined;
  }

  private hmac(key: Buffer, text: string): Buffer {
    return createHmac(this.hash, key).update(text, "utf8").digest();
  }
}

/** SASLprep's mapping (RFC 4013, section 2.1 and 2.2): one blank, nothing that is not seen, one form of each letter. */
const prepared = (text: string): string =>
  text.replace(/\p{Zs}/gu, " ").replace(/[\u00ad\u034f\u1806\u180b-\u180d\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]/g, "").normalize("NFKC");

function attributes(message: string): Record<string, string | undefined> {
  return Object.fromEntries(message.split(",").map((piece) => [piece.slice(0, 1), piece.slice(2)]));
}
