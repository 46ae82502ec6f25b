// What GraphiQL keeps in the browser: tabs, settings and the history of what was run. Headers, and
// values of fields that are secrets, are not kept: whoever uses the browser later, and any other page
// of this origin, could read them.

const SECRETS = new Set([
  'authorization',
  'accessToken',
  'challenge',
  'code',
  'deviceToken',
  'headers',
  'refreshToken',
]);

/** The text with secrets emptied, at any depth, also within texts that are JSON themselves. */
export function withoutSecrets(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  return typeof value === 'object' && value !== null ? JSON.stringify(cleaned(value)) : text;
}

function cleaned(value) {
  if (typeof value === 'string') return withoutSecrets(value);
  if (Array.isArray(value)) return value.map(cleaned);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      SECRETS.has(name) && typeof inner === 'string' ? '' : cleaned(inner),
    ]),
  );
}

/** The browser's own storage, to which no secret is written. */
export function storage(behind = window.localStorage) {
  return {
    get length() {
      return behind.length;
    },
    clear: () => behind.clear(),
    key: (index) => behind.key(index),
    getItem: (key) => behind.getItem(key),
    removeItem: (key) => behind.removeItem(key),
    setItem: (key, value) => behind.setItem(key, withoutSecrets(value)),
  };
}
