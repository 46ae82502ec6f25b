// What a page of this server that has opened this one hands over: headers with a token, and tabs. `talksy
// demo` does, so that nobody copies a token. It goes from page to page: no address, no history and no storage
// has it, and where nothing is handed over, this page is the usual one.

/** How long the page that has opened this one may take. */
const PATIENCE = 2_000;

/** What was handed over; null where nobody does. */
export function handed(opener = window.opener, origin = window.location.origin) {
  if (!opener) return Promise.resolve(null);
  return new Promise((resolve) => {
    const hear = (event) => {
      // Other windows, and pages of elsewhere, may send what they like.
      if (event.source !== opener || event.origin !== origin || !event.data?.talksy) return;
      removeEventListener('message', hear);
      resolve(event.data.talksy);
    };
    addEventListener('message', hear);
    setTimeout(() => {
      removeEventListener('message', hear);
      resolve(null);
    }, PATIENCE);
    // To a page of this origin alone.
    opener.postMessage('talksy-graphiql', origin);
  });
}

/** A storage that is gone with the page, so that the tabs of other visits stay as they are. */
export function passing() {
  const kept = new Map();
  return {
    get length() {
      return kept.size;
    },
    clear: () => kept.clear(),
    key: (index) => [...kept.keys()][index] ?? null,
    getItem: (key) => kept.get(key) ?? null,
    removeItem: (key) => void kept.delete(key),
    setItem: (key, value) => void kept.set(key, value),
  };
}
