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

/** Letters that stand for others at a glance: of Cyrillic, Greek and Armenian those like Latin ones. */
const LIKE_LATIN = /^[аеорсухіјѕһӏԁԛԝвкмнтгαβεικνορτυχօսոհց0-9-]+$/u;

/**
 * An address as it is shown: its host in ASCII where its letters may be taken for others, as one of several
 * scripts, or of letters that look like Latin ones.
 */
export function shownAddress(address: string, href: string): string {
  const said = /^https?:\/\/([^/?#:]+)/iu.exec(address)?.[1];
  if (!said || !/[^\x00-\x7f]/u.test(said)) return address;
  const isDoubtful = said.normalize('NFKC').toLowerCase().split('.').some((label) => {
    if (!/[^\x00-\x7f]/u.test(label)) return false;
    const scripts = SCRIPTS.filter((script) => script.test(label)).length;
    return scripts !== 1 || LIKE_LATIN.test(label);
  });
  return isDoubtful ? address.replace(said, new URL(href).hostname) : address;
}

/** Writing systems that belong together. */
const SCRIPTS = [
  /\p{Script=Latin}/u,
  /\p{Script=Cyrillic}/u,
  /\p{Script=Greek}/u,
  /\p{Script=Armenian}/u,
  /\p{Script=Hebrew}/u,
  /\p{Script=Arabic}/u,
  /\p{Script=Devanagari}/u,
  /\p{Script=Thai}/u,
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u,
];

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
    const at = parts.length;
    add(index + address.length, href);
    parts[at] = { text: shownAddress(address, href), href };
  }
  add(text.length, null);
  return parts;
}
