// Where the viewer is signed in.
import { useState } from 'react';
import { Button } from 'react-aria-components';

import { usePages } from './pages.js';
import { RevokeSessionDocument, SessionsDocument } from '../generated/graphql.js';
import { Problem, shortTimeOf, useAccount, useRun } from '../ui/parts.js';

export function Sessions() {
  const { connection } = useAccount();
  const { nodes, problem, more, again } = usePages('sessions', async (after) =>
    (await connection.query(SessionsDocument, { after })).sessions ?? null,
  );
  const { run, problem: refused, isBusy } = useRun();
  const [isSure, setSure] = useState(false);
  const end = (ids: readonly string[]) =>
    run(async () => {
      for (const sessionId of ids) await connection.mutate(RevokeSessionDocument, { sessionId });
      await again();
      setSure(false);
    });
  const others = (nodes ?? []).filter(({ isCurrent }) => !isCurrent);
  return (
    <div className="details">
      <p className="quiet">You are signed in on these devices. End what you do not know.</p>
      <Problem text={problem ?? refused} />
      <ul className="members">
        {(nodes ?? []).map(({ id, userAgent, ipAddress, lastUsedAt, isCurrent }) => (
          <li key={id} className="row">
            <span className="about">
              <b>
                <bdi>{deviceOf(userAgent ?? null)}</bdi>
              </b>
              <span className="quiet">
                {isCurrent ? 'this device' : `last used ${shortTimeOf(lastUsedAt)}`}
                {ipAddress ? ` · ${ipAddress}` : ''}
              </span>
            </span>
            {!isCurrent && (
              <Button
                className="secondary danger"
                aria-label={`End the session of ${deviceOf(userAgent ?? null)}`}
                isDisabled={isBusy}
                onPress={() => void end([id])}
              >
                End
              </Button>
            )}
          </li>
        ))}
      </ul>
      {nodes === null && !problem && <p className="quiet">One moment …</p>}
      <div className="actions">
        {more && (
          <Button className="secondary" onPress={more}>
            Show more
          </Button>
        )}
        {others.length > 0 && (
          <Button
            className="secondary danger"
            isDisabled={isBusy}
            onPress={() => (isSure ? void end(others.map(({ id }) => id)) : setSure(true))}
          >
            {isSure ? 'Really end all others?' : 'End all others'}
          </Button>
        )}
      </div>
    </div>
  );
}

/** A browser and a system, by what it calls itself. */
export function deviceOf(userAgent: string | null): string {
  if (!userAgent) return 'A device without a name';
  const browser = /Edg\//.test(userAgent)
    ? 'Edge'
    : /Firefox\//.test(userAgent)
      ? 'Firefox'
      : /Chrome\//.test(userAgent)
        ? 'Chrome'
        : /Safari\//.test(userAgent)
          ? 'Safari'
          : userAgent.slice(0, 60);
  const system = /(Android|iPhone|iPad|Windows|Mac OS X|Linux)/.exec(userAgent)?.[1];
  return system ? `${browser} on ${system.replace('Mac OS X', 'a Mac')}` : browser;
}
