// Keeps a cache from going back. An answer may have been read before an edit of which an event
// has told already: of two states of a message the one with the greater `changeSeq` is the newer.
// Select `id` and `changeSeq` of every message.

const CONTENT = ['changeSeq', 'text', 'editedAt', 'deletedAt'];

type Fields = Readonly<Record<string, unknown>>;

/**
 * A function for all results of one user, before they go into the library's cache: it gives older
 * states of messages the content of the newest that it has seen.
 */
export function keepNewest(): <Data>(data: Data) => Data {
  const changed = new Map<string, Fields & { readonly changeSeq: number }>();

  function visit(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(visit);
    if (value === null || typeof value !== 'object') return value;
    const fields = Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, visit(inner)]),
    );
    const { id, changeSeq } = fields;
    // What was never changed cannot be newer than anything.
    if (typeof id !== 'string' || typeof changeSeq !== 'number') return fields;
    const known = changed.get(id);
    if (known && known.changeSeq > changeSeq) {
      const newer = CONTENT.filter((name) => name in fields && name in known);
      return { ...fields, ...Object.fromEntries(newer.map((name) => [name, known[name]])) };
    }
    if (changeSeq > 0) changed.set(id, { ...known, ...fields, changeSeq });
    return fields;
  }
  return (data) => visit(data) as typeof data;
}
