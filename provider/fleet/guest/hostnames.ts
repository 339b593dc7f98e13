/** Names of guests, as the network knows them (RFC 1123). */
const LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
const MAX_DOMAIN = 253;

export const HOSTNAME_RULE = "a host name (letters, digits and '-', neither first nor last, at most 63)";
export const DOMAIN_RULE = "a domain such as example.com (labels of letters, digits and '-', apart by '.')";

export const isHostname = (text: string): boolean => LABEL.test(text);
export const isDomain = (text: string): boolean => text.length <= MAX_DOMAIN && text.split(".").every(isHostname);

/** A member's name where no host name was declared: names may hold what host names cannot. */
export const hostnameOfName = (name: string): string => name.replace(/[._]/g, "-");
