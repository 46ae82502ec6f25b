// Whom the viewer has blocked.
import { Button } from 'react-aria-components';

import { usePages } from './pages.js';
import { Face } from '../files/face.js';
import { BlockedUsersDocument, UnblockUserDocument } from '../generated/graphql.js';
import { shownName } from '../ui/names.js';
import { Name, Problem, useAccount, useRun } from '../ui/parts.js';

export function Blocked() {
  const { connection } = useAccount();
  const { nodes, problem, more, change } = usePages('blocked', async (after) =>
    (await connection.query(BlockedUsersDocument, { after })).blockedUsers ?? null,
  );
  const { run, problem: refused, isBusy } = useRun();
  const unblock = (userId: string) =>
    run(async () => {
      await connection.mutate(UnblockUserDocument, { userId });
      change((known) => (known ?? []).filter(({ id }) => id !== userId));
    });
  return (
    <div className="details">
      <p className="quiet">They cannot write to you or add you to groups, and do not see whether you are online.</p>
      <Problem text={problem ?? refused} />
      <ul className="members">
        {(nodes ?? []).map((person) => (
          <li key={person.id} className="row">
            <Face id={person.id} name={person.name} />
            <span className="about">
              <Name of={person} />
            </span>
            <Button
              className="secondary"
              aria-label={`Unblock ${shownName(person.name)}`}
              isDisabled={isBusy}
              onPress={() => void unblock(person.id)}
            >
              Unblock
            </Button>
          </li>
        ))}
      </ul>
      {nodes?.length === 0 && <p className="quiet">You have blocked nobody.</p>}
      {more && (
        <Button className="secondary" onPress={more}>
          Show more
        </Button>
      )}
    </div>
  );
}
