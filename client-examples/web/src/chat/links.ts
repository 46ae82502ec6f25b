// Finds the web addresses in a text. All else stays text.

export interface Part {
  readonly text: string;
  /** Where it leads to; null for plain text. */
  readonly href: string | null;
}

const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\u200b-\u200f\u202a-\u202e\u2066-\u2069]+/giu;
/** What rather belongs to the sentence than to the address. */
const BEHIND = /[.,:;!?…)\]}]+$/u;

/** The address that a text is; null where it is none of the web, or says another host than it shows. */
function hrefOf(text: string): string | null {
  try {
    const url = new URL(text);
    const isWeb = url.protocol === 'https:' || url.protocol === 'http:';
    // `https://bank.example@evil.example` shows one host and leads to another.
    return isWeb && url.username === '' && url.password === '' ? url.href : null;
  } catch {
    return null;
  }
}

/** The parts of a text, in their order. */
export function partsOf(text: string): Part[] {
  const parts: Part[] = [];
  let from = 0;
  const add = (to: number, href: string | null) => {
    if (to > from) parts.push({ text: text.slice(from, to), href });
    from = Math.max(from, to);
  };
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    let address = found.replace(BEHIND, '');
    // A bracket that the address itself has opened is its own.
    if (address.includes('(') && found.startsWith(`${address})`)) address += ')';
    const href = hrefOf(address);
    if (!href) continue;
    add(index, null);
    add(index + address.length, href);
  }
  add(text.length, null);
  return parts;
}
