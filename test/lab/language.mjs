/**
 * The language a lab's daemons answer in. A daemon translates its errors by what its environment says when it starts, as
 * a service does by /etc/locale.conf. Message catalogues need a real locale: one is made in our cache, where it is no
 * locale of this machine's.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { run } from "./exec.mjs";

export const DEFAULT_LANGUAGE = "C.UTF-8";
const LOCALES = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "pulumi-vmfleet", "locales");

/** @throws where it is no name of a locale in UTF-8 */
export function checkLanguage(language) {
  if (typeof language !== "string" || !/^([a-z]{2,3}(_[A-Z]{2})?|C)\.UTF-8$/.test(language)) {
    throw new Error(`language: expected a locale such as zh_CN.UTF-8 or de_DE.UTF-8, got ${JSON.stringify(language)}`);
  }
  return language;
}

/** What a daemon that is to answer in this language is started with. */
export const languageEnvironment = (language = DEFAULT_LANGUAGE) =>
  (language === DEFAULT_LANGUAGE ? { LANG: language } : { LANG: language, LC_ALL: language, LOCPATH: LOCALES });

/** Compiles the locale where it is not yet there (about a second), and sees that libvirt has a catalogue of it. */
export async function ensureLocale(language, log) {
  if (language === DEFAULT_LANGUAGE) return;
  const [name] = language.split(".");
  const catalogues = [name, name.split("_")[0]].map((each) => `/usr/share/locale/${each}/LC_MESSAGES/libvirt.mo`);
  if (!catalogues.some((file) => existsSync(file))) {
    throw new Error(`language ${language}: libvirt has no catalogue of it (${catalogues.join(", ")}): npm run setup installs libvirt-l10n`);
  }
  const made = join(LOCALES, language);
  if (existsSync(made)) return;
  log(`making the locale ${language}`);
  mkdirSync(LOCALES, { recursive: true });
  const fresh = `${made}.${process.pid}`;
  // localedef warns, with code 1, where a locale's source is not perfect, and writes it all the same.
  await run(["localedef", "-i", name, "-f", "UTF-8", fresh]).catch((error) => { if (!existsSync(fresh)) throw error; });
  try {
    renameSync(fresh, made);
  } catch (error) {
    if (!existsSync(made)) throw error; // another lab was faster
    rmSync(fresh, { recursive: true, force: true });
  }
}
