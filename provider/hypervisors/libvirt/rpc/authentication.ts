/** Saying who one is before a session is opened: nobody, polkit's answer, or SASL (remoteAuthenticate in libvirt's client). */
import type { AuthWish } from "../../../fleet";
import { ConnectionLostError, isLibvirtError } from "./errors";
import { AuthType, ErrorCode, Proc } from "./protocol";
import { chooseMechanism, saslClient } from "./sasl";
import { XdrWriter, type XdrReader } from "./xdr";

export interface NameAndPassword {
  name?: string;
  password?: string;
  /** Where it was looked for. */
  place: string;
}

export interface Authentication {
  /** What the URI asks for. @default what the daemon asks for first */
  wish?: AuthWish;
  /** Whether nobody listens on the way. */
  isPrivate: boolean;
  /** Looked up only where SASL is spoken. @throws ConnectionLostError */
  credentials(): NameAndPassword;
}

export type Ask = (proc: number, name: string, args: XdrWriter) => Promise<XdrReader>;

/** More answers than any mechanism has. */
const MOST_STEPS = 8;

/** @throws ConnectionLostError, LibvirtError */
export async function authenticate(ask: Ask, peer: string, auth: Authentication): Promise<void> {
  const offered = (await ask(Proc.authList, "authList", new XdrWriter())).list((reader) => reader.u32());
  switch (wayOf(offered, auth.wish, peer)) {
    case AuthType.polkit: await ask(Proc.authPolkit, "authPolkit", new XdrWriter()); break;
    case AuthType.sasl: await authenticateBySasl(ask, peer, auth);
  }
}

function wayOf(offered: readonly number[], wish: AuthWish | undefined, peer: string): number {
  if (!wish) return offered.length === 0 || offered.includes(AuthType.none) ? AuthType.none : offered.includes(AuthType.polkit) ? AuthType.polkit : offered[0]!;
  const wanted = AuthType[wish.kind];
  if (!offered.includes(wanted)) throw new ConnectionLostError(`${peer} does not authenticate by ${wish.kind}: remove auth= from the URI, or change auth_unix_rw, auth_tcp or auth_tls in its libvirtd.conf`);
  return wanted;
}

async function authenticateBySasl(ask: Ask, peer: string, auth: Authentication): Promise<void> {
  const listed = await ask(Proc.authSaslInit, "authSaslInit", new XdrWriter()).catch((error: unknown) => {
    if (!isLibvirtError(error, ErrorCode.authFailed)) throw error;
    throw new ConnectionLostError(`${peer} asks for SASL and can do none: its log says why (sasl2/libvirt.conf, its mech_list, the modules of libsasl2)`, { cause: error });
  });
  const offered = read(() => listed.string(), peer).split(/[\s,]+/).filter((one) => one !== "");
  const wish = auth.wish?.kind === "sasl" ? auth.wish.mechanism : undefined;
  const mechanism = chooseMechanism(offered, wish, { peer, isPrivate: auth.isPrivate });
  const { name, password, place } = auth.credentials();
  if (name === undefined || password === undefined) {
    throw new ConnectionLostError(`${peer} asks for a name and a password (SASL ${mechanism}), and ${place} has no ${name === undefined ? "authname" : "password"} for it: ` +
      "add [credentials-x] with authname= and password=, and [auth-libvirt-HOST] with credentials=x, or name another file with ?authfile= in the URI");
  }
  const client = saslClient(mechanism, name, password, peer);
  const turnOf = (reader: XdrReader): Turn => read(() => readTurn(reader), peer);
  try {
    let turn = turnOf(await ask(Proc.authSaslStart, "authSaslStart", chars(new XdrWriter().string(mechanism), client.first())));
    for (let steps = 0; !(turn.isComplete && client.isDone && turn.data === undefined); steps++) {
      const said = turn.data === undefined && client.isDone ? undefined : await client.answer(turn.data ?? Buffer.alloc(0));
      if (turn.isComplete && client.isDone) return;
      if (turn.isComplete || steps === MOST_STEPS) throw new ConnectionLostError(`${peer} does not speak SASL ${mechanism} to its end`);
      turn = turnOf(await ask(Proc.authSaslStep, "authSaslStep", chars(new XdrWriter(), said)));
    }
  } catch (error) {
    if (!isLibvirtError(error, ErrorCode.authFailed)) throw error;
    throw new ConnectionLostError(`${peer} refuses ${JSON.stringify(name)} with the password in ${place} (SASL ${mechanism}), or its libvirtd.conf allows that name nothing (sasl_allowed_username_list)`, { cause: error });
  }
}

/** `char data<>`: rpcgen gives each byte a word of its own; a flag before it tells nothing from an empty text. */
function chars(args: XdrWriter, data: Buffer | undefined): XdrWriter {
  args.i32(data === undefined ? 1 : 0).u32(data?.length ?? 0);
  for (const byte of data ?? []) args.i32(byte << 24 >> 24);
  return args;
}

interface Turn {
  isComplete: boolean;
  data?: Buffer;
}

/** @throws ConnectionLostError where the answer ends too soon */
function read<T>(body: () => T, peer: string): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ConnectionLostError(`${peer} does not speak SASL as libvirt does`, { cause: error });
  }
}

function readTurn(reader: XdrReader): Turn {
  const isComplete = reader.i32() !== 0;
  const isNothing = reader.i32() !== 0;
  const data = Buffer.from(reader.list((one) => one.i32() & 0xff));
  return { isComplete, ...(!isNothing && { data }) };
}
