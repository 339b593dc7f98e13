/**
 * The official binaries of a Pulumi release, checked against the checksums that the release publishes. A server that
 * does not answer, stalls or sends something else costs at most `giveUpMs`; who downloads slowly but surely is let go on.
 * Only Node's built-ins and tar: this runs beside `npm ci`.
 */
import { createHash } from "node:crypto";
import { createWriteStream, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { quietly } from "./programs.mjs";

/**
 * giveUpMs: until then the download is done or on its way to be done `worthMs` later. idleMs: nothing came for so long.
 * worthMs: what a download may take beyond that at most; building takes longer.
 */
export const LIMITS = { giveUpMs: 20_000, idleMs: 7_000, worthMs: 180_000, lookEveryMs: 2_000 };

/** Over how many looks the present rate is taken. */
const LOOKS = 4;
const ARCHITECTURES = { x64: "x64", arm64: "arm64" };

/**
 * Where the release is, each place with the archives and the checksums of all of them.
 * @param {string} version
 * @param {string | undefined} mirror the folder of a mirror's archives and checksums, as an URL: instead of the official ones
 */
export function placesOf(version, mirror = process.env.VMFLEET_PULUMI_RELEASES) {
  if (mirror) return [mirror.replace(/\/+$/, "")];
  return ["https://get.pulumi.com/releases/sdk", `https://github.com/pulumi/pulumi/releases/download/v${version}`];
}

/**
 * @param {{version: string, folder: string, places?: string[], limits?: typeof LIMITS, doing?: (text: string) => void,
 *   signal?: AbortSignal, platform?: string, arch?: string}} options folder: gets `bin/pulumi` and what belongs to it
 * @throws an Error that says of each place why it was none, an archive that no checksum vouches for included; the folder may
 *   hold a part then
 */
export async function downloadPulumi({
  version, folder, places = placesOf(version), limits = LIMITS, doing = () => {}, signal, platform = process.platform, arch = process.arch,
}) {
  if (platform !== "linux" || !ARCHITECTURES[arch]) throw new Error(`there is no archive for ${platform} on ${arch} that this set-up knows`);
  const archive = `pulumi-v${version}-linux-${ARCHITECTURES[arch]}.tar.gz`;
  const endMs = performance.now() + limits.giveUpMs;
  const ending = linked(signal);
  const checksums = publishedChecksums(places, version, limits, ending.signal);
  const reasons = [];
  try {
    for (const place of places) {
      try {
        return await take(place);
      } catch (error) {
        signal?.throwIfAborted();
        reasons.push(`${new URL(place).host}: ${reasonOf(error)}`);
      }
      if (performance.now() > endMs) break;
    }
    throw new Error(reasons.join("; "));
  } finally {
    ending.abort();
  }

  async function take(place) {
    const file = join(folder, archive);
    const bin = join(folder, "bin");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(bin, { recursive: true });
    const sum = await fetchTo(`${place}/${archive}`, file, { endMs, limits, doing, signal: ending.signal });
    const published = await checksums;
    if (published.get(archive) !== sum) {
      throw new Error(published.has(archive) ? `the archive's checksum is ${sum}, the release's is ${published.get(archive)}` : `the release's checksums do not name ${archive}`);
    }
    doing("unpacking");
    await quietly(["tar", "-xzf", file, "--strip-components=1", "--no-same-owner", "-C", bin], { signal: ending.signal });
    rmSync(file);
  }
}

/**
 * @returns {Promise<Map<string, string>>} sha256 by archive
 * @throws when no place tells them: what is downloaded is executed, so nothing is taken on trust
 */
function publishedChecksums(places, version, limits, signal) {
  const ask = async (place) => {
    const stop = linked(signal);
    const timer = setTimeout(() => stop.abort(new Error(`no answer within ${limits.idleMs / 1000} s`)), limits.idleMs);
    try {
      const response = await fetch(`${place}/pulumi-${version}-checksums.txt`, { signal: stop.signal });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      return new Map((await response.text()).split("\n").flatMap((line) => {
        const [, sum, name] = /^([0-9a-f]{64}) [ *](\S+)$/.exec(line.trim()) ?? [];
        return sum ? [[name, sum]] : [];
      }));
    } finally {
      clearTimeout(timer);
      stop.abort();
    }
  };
  const asked = Promise.allSettled(places.map(ask)).then((answers) => {
    const told = answers.find(({ status }) => status === "fulfilled");
    if (told) return told.value;
    throw new Error(`the release's checksums cannot be read (${reasonOf(answers[0].reason)})`);
  });
  asked.catch(() => {}); // it may fail before anybody waits for it
  return asked;
}

/** @returns {Promise<string>} the sha256 of what came */
async function fetchTo(url, file, { endMs, limits, doing, signal }) {
  const stop = linked(signal);
  const started = performance.now();
  let lastMs = started, got = 0, total = 0;
  /** The last looks: how fast it comes now is what counts, not how fast it came at first. */
  const looks = [{ atMs: started, got }];
  const watch = async () => {
    for (;;) {
      await delay(Math.min(limits.lookEveryMs, limits.idleMs / 2), undefined, { signal: stop.signal });
      const now = performance.now();
      if (now - lastMs >= limits.idleMs) return stop.abort(new Error(`nothing came for ${limits.idleMs / 1000} s`));
      looks.push({ atMs: now, got });
      if (looks.length > LOOKS) looks.shift();
      const bytesPerMs = (got - looks[0].got) / (now - looks[0].atMs);
      // Of one that does not say how long it is only the end is known.
      const leftMs = got === 0 ? Infinity : total === 0 ? 0 : (total - got) / bytesPerMs;
      if (now >= endMs + limits.worthMs || (now >= endMs && leftMs > limits.worthMs)) return stop.abort(new Error(`${megabytes(got)} MB came in ${Math.round((now - started) / 1000)} s: too slow`));
    }
  };
  watch().catch(() => {}); // the download ended
  try {
    doing(`asking ${new URL(url).host}`);
    const response = await fetch(url, { signal: stop.signal });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    lastMs = performance.now();
    total = response.headers.has("content-encoding") ? 0 : Number(response.headers.get("content-length") ?? 0);
    const hash = createHash("sha256");
    await pipeline(Readable.fromWeb(response.body), async function* count(chunks) {
      for await (const chunk of chunks) {
        lastMs = performance.now();
        got += chunk.length;
        hash.update(chunk);
        doing(`downloading, ${megabytes(got)}${total > 0 ? ` of ${megabytes(total)}` : ""} MB`);
        yield chunk;
      }
    }, createWriteStream(file), { signal: stop.signal });
    if (total > 0 && got !== total) throw new Error(`${got} of ${total} bytes came`);
    return hash.digest("hex");
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : error;
  } finally {
    stop.abort();
  }
}

/**
 * Aborted by itself or with `signal`, until it is. Not AbortSignal.any: in Node 20 that and AbortSignal.timeout may be
 * collected while a fetch still goes by them, and then nothing ends it.
 */
function linked(signal) {
  const controller = new AbortController();
  if (signal?.aborted) controller.abort(signal.reason);
  const follow = () => controller.abort(signal.reason);
  signal?.addEventListener("abort", follow, { once: true });
  controller.signal.addEventListener("abort", () => signal?.removeEventListener("abort", follow), { once: true });
  return controller;
}

const megabytes = (bytes) => Math.round(bytes / 1e6);

/** fetch hides what went wrong behind "fetch failed". */
const reasonOf = (error) => error.cause?.code ?? error.cause?.message ?? error.message;
