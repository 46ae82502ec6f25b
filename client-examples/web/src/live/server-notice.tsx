// Notices that the server is of another version than this page: it was updated, or set back, while the page
// was open. Each connection may be to another server, so each is asked.
import { useEffect, useState } from 'react';
import { Button } from 'react-aria-components';

import { SERVER } from '../session/session.js';
import { askServer } from '../talksy/server.js';
import { useAccount } from '../ui/parts.js';

/** Where it stands that the page was loaded anew for a server. */
const RELOADED = 'talksy.reloaded';

export function ServerNotice() {
  const { connection } = useAccount();
  /** The hash of another schema; empty where it is not known. */
  const [other, setOther] = useState<string | null>(null);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const ask = () =>
      askServer(SERVER).then(
        ({ schemaHash }) => isOver || setOther(schemaHash === __SCHEMA_HASH__ ? null : schemaHash),
        // The next connection asks again.
        () => {},
      );
    const look = () => {
      clearTimeout(timer);
      // The random part keeps all pages from asking a restarted server at once.
      if (connection.link() === 'connected') timer = setTimeout(() => void ask(), 1_000 * Math.random());
    };
    // A part of this page that is not there any more; without a network it is only late.
    const miss = () => navigator.onLine && connection.link() === 'connected' && setOther('');
    const stop = connection.onLink(look);
    look();
    addEventListener('vite:preloadError', miss);
    return () => {
      isOver = true;
      clearTimeout(timer);
      stop();
      removeEventListener('vite:preloadError', miss);
    };
  }, [connection]);

  if (other === null) return null;
  if (sessionStorage.getItem(RELOADED) === other) {
    return <p>The server has another version: some may not work.</p>;
  }
  return (
    <p>
      The server was updated. <span className="on-desk">What you have written stays. </span>
      <Button
        className="plain"
        onPress={() => {
          sessionStorage.setItem(RELOADED, other);
          location.reload();
        }}
      >
        Reload the page
      </Button>
    </p>
  );
}
