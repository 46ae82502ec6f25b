// Reads sign-in codes from the folder that a server without a mail server writes its mails to.
// Only examples and tests do this: a user reads the mail.
import { readFile, readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const OUTBOX =
  process.env.CHAT_OUTBOX ?? fileURLToPath(new URL('../../data/outbox', import.meta.url));

/**
 * Looks at what lies in the outbox now; the function it returns waits for a newer mail to the
 * address and returns its code.
 */
export async function watchFor(address, outbox = OUTBOX) {
  const old = new Set(await mails(outbox));
  return async () => {
    const deadline = Date.now() + 15_000;
    while (Date.now() < deadline) {
      // The names sort by time: the newest comes first.
      const fresh = (await mails(outbox)).filter((name) => !old.has(name)).reverse();
      for (const name of fresh) {
        const mail = parse(await readFile(`${outbox}/${name}`, 'latin1'));
        if (!(mail.headers.get('to') ?? '').toLowerCase().includes(address.toLowerCase())) continue;
        const code = /\b\d{6}\b/.exec(textOf(mail) ?? '')?.[0];
        if (code) return code;
      }
      await sleep(50);
    }
    throw new Error(
      `no mail to ${address} came into ${outbox}. ` +
        "If the server's data directory is another one, set CHAT_OUTBOX to its outbox.",
    );
  };
}

async function mails(outbox) {
  try {
    return (await readdir(outbox)).filter((name) => name.endsWith('.eml')).sort();
  } catch (error) {
    // The folder comes with the first mail.
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}

/** A mail or a part of one: its headers, unfolded, and its body as it was sent (RFC 5322). */
function parse(source) {
  const [, head, body] = /^([^]*?)(?:\r?\n){2}([^]*)$/.exec(source) ?? [null, source, ''];
  const lines = head.replace(/\r?\n[ \t]+/g, ' ').split(/\r?\n/);
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { headers, body };
}

/** The plain text of a mail, wherever in its parts that is (RFC 2045, 2046). */
function textOf({ headers, body }) {
  const type = headers.get('content-type') ?? 'text/plain';
  if (/^multipart\//i.test(type)) {
    const boundary = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(type);
    return body
      .split(`--${boundary[1] ?? boundary[2]}`)
      .slice(1, -1)
      .map((part) => textOf(parse(part.replace(/^\s*?\r?\n/, ''))))
      .find((text) => text !== undefined);
  }
  if (!/^text\/plain/i.test(type)) return undefined;
  switch ((headers.get('content-transfer-encoding') ?? '7bit').toLowerCase()) {
    case 'base64':
      return Buffer.from(body, 'base64').toString();
    case 'quoted-printable': {
      const bytes = body
        .replace(/=[ \t]*\r?\n/g, '')
        .replace(/=([0-9A-F]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
      return Buffer.from(bytes, 'latin1').toString();
    }
    default:
      return Buffer.from(body, 'latin1').toString();
  }
}
