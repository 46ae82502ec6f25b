// Who is mentioned in a text: “@” and the name.

interface Person {
  readonly id: string;
  readonly name: string;
}

/** The word behind an “@” at the caret, and where it begins; null where none is being written. */
export function wordAt(text: string, caret: number): { readonly word: string; readonly from: number } | null {
  const before = text.slice(0, caret);
  const found = /(?:^|[\s(])@([^\s@]{0,40}(?: [^\s@]{1,40})?)$/u.exec(before);
  if (!found) return null;
  const word = found[1] ?? '';
  return { word, from: caret - word.length - 1 };
}

/** The people whose name, or a word of it, begins so. */
export function matching<One extends Person>(people: readonly One[], word: string, most = 8): One[] {
  const wanted = word.toLocaleLowerCase();
  return people
    .filter(({ name }) => {
      const lower = name.toLocaleLowerCase();
      return lower.startsWith(wanted) || lower.split(/\s+/u).some((part) => part.startsWith(wanted));
    })
    .slice(0, most);
}

/** Whom a text mentions, of these; at most 50. A longer name counts where a shorter one begins it. */
export function mentionedIn(text: string, people: readonly Person[]): string[] {
  const ids = new Set<string>();
  let left = text;
  for (const { id, name } of [...people].sort((one, other) => other.name.length - one.name.length)) {
    if (name === '' || !left.includes(`@${name}`)) continue;
    ids.add(id);
    // People of one name are mentioned together.
    const isShared = people.some((other) => other.id !== id && other.name === name && !ids.has(other.id));
    if (!isShared) left = left.replaceAll(`@${name}`, '@');
  }
  return [...ids].slice(0, 50);
}

export interface Piece {
  readonly text: string;
  readonly person: Person | null;
}

/** Cuts a text at its mentions. */
export function piecesOf(text: string, mentions: readonly Person[]): Piece[] {
  const names = [...mentions].filter(({ name }) => name !== '');
  if (names.length === 0) return [{ text, person: null }];
  names.sort((one, other) => other.name.length - one.name.length);
  const pieces: Piece[] = [];
  let rest = text;
  while (rest !== '') {
    let at = -1;
    let person: Person | undefined;
    for (const one of names) {
      const found = rest.indexOf(`@${one.name}`);
      if (found >= 0 && (at < 0 || found < at)) {
        at = found;
        person = one;
      }
    }
    if (!person) break;
    if (at > 0) pieces.push({ text: rest.slice(0, at), person: null });
    pieces.push({ text: `@${person.name}`, person });
    rest = rest.slice(at + person.name.length + 1);
  }
  if (rest !== '') pieces.push({ text: rest, person: null });
  return pieces;
}
