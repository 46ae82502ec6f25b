// Takes the network from a page, and gives it back. Import it ahead of everything else: what takes
// `WebSocket` or `fetch` before stays connected.
//
// A plug that is pulled says no goodbye: what was on the way is lost, the page hears of a broken connection,
// and new ones come to nothing. The page goes by the same events as where a browser is offline.

const RealSocket = globalThis.WebSocket;
const realFetch = globalThis.fetch.bind(globalThis);
const sockets = new Set<WebSocket>();
let isPulled = false;
let cut = new AbortController();

const broken = () => new CloseEvent('close', { code: 1006, wasClean: false });

/** What stands for a socket that cannot be opened. */
class DeadSocket extends EventTarget {
  readyState: number = RealSocket.CONNECTING;
  onopen: unknown = null;
  onmessage: unknown = null;
  onerror: ((event: Event) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;

  constructor() {
    super();
    setTimeout(() => this.close(), 50);
  }

  send() {}

  close() {
    if (this.readyState === RealSocket.CLOSED) return;
    this.readyState = RealSocket.CLOSED;
    this.onclose?.(broken());
  }
}

globalThis.WebSocket = new Proxy(RealSocket, {
  construct(target, args: ConstructorParameters<typeof WebSocket>) {
    if (isPulled) return new DeadSocket();
    const socket = new target(...args);
    sockets.add(socket);
    socket.addEventListener('close', () => sockets.delete(socket));
    return socket;
  },
});

globalThis.fetch = async (...args) => {
  if (isPulled) throw new TypeError('The plug is pulled.');
  const { signal } = cut;
  const response = await realFetch(...args);
  if (signal.aborted) throw new TypeError('The plug was pulled.');
  return response;
};

Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => !isPulled });

export function pull(): void {
  if (isPulled) return;
  isPulled = true;
  for (const socket of sockets) {
    const { onclose } = socket;
    // What comes from now on comes to nobody.
    Object.assign(socket, { onopen: null, onmessage: null, onerror: null, onclose: null });
    socket.close();
    onclose?.call(socket, broken());
  }
  sockets.clear();
  // An answer that is on its way comes to nobody either.
  cut.abort();
  dispatchEvent(new Event('offline'));
}

export function plugIn(): void {
  if (!isPulled) return;
  isPulled = false;
  cut = new AbortController();
  dispatchEvent(new Event('online'));
}
