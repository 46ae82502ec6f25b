// What operators see: reports of messages, and people who may be suspended.
import { useState, type FormEvent } from 'react';
import { Button, Input, Label, SearchField, TextField, ToggleButton } from 'react-aria-components';

import { previewOf } from '../chat/preview.js';
import { Attachments } from '../files/attachments.js';
import { Face } from '../files/face.js';
import {
  DeleteReportedDocument,
  ModeratedUsersDocument,
  ReportsDocument,
  ResolveReportDocument,
  RestoreUserDocument,
  SuspendUserDocument,
  type ModeratedStateFragment,
  type ReportsQuery,
} from '../generated/graphql.js';
import { usePages } from '../settings/pages.js';
import { shownName } from '../ui/names.js';
import { Name, Problem, dayOf, shortTimeOf, useAccount, useRested, useRun } from '../ui/parts.js';
import { TabbedPages } from '../ui/tabs.js';

type Report = NonNullable<ReportsQuery['moderation']>['reports']['nodes'][number];

export default function Moderation() {
  const pages = [
    { id: 'reports', title: 'Reports', content: <Reports /> },
    { id: 'people', title: 'People', content: <People /> },
  ];
  return <TabbedPages label="Moderation" pages={pages} />;
}

function Reports() {
  const { connection } = useAccount();
  const [isResolved, setResolved] = useState(false);
  const { nodes, problem, more, again } = usePages(`reports ${isResolved}`, async (after) => {
    const variables = { state: isResolved ? ('RESOLVED' as const) : ('OPEN' as const), after };
    return (await connection.query(ReportsDocument, variables)).moderation?.reports ?? null;
  });
  return (
    <div className="details">
      <div className="actions">
        <ToggleButton className="secondary" isSelected={isResolved} onChange={setResolved}>
          {isResolved ? 'Show open ones' : 'Show resolved ones'}
        </ToggleButton>
        <Button className="secondary" onPress={() => void again()}>
          Look again
        </Button>
      </div>
      <Problem text={problem} />
      <ul className="reports">
        {(nodes ?? []).map((report) => (
          <li key={report.id}>
            <ReportCard report={report} onDone={again} />
          </li>
        ))}
      </ul>
      {nodes?.length === 0 && <p className="quiet">{isResolved ? 'None was resolved yet.' : 'Nothing is reported.'}</p>}
      {nodes === null && !problem && <p className="quiet">One moment …</p>}
      {more && (
        <Button className="secondary" onPress={more}>
          Show more
        </Button>
      )}
    </div>
  );
}

function ReportCard({ report, onDone }: { report: Report; onDone: () => Promise<void> }) {
  const { connection, userId } = useAccount();
  const { run, problem, isBusy } = useRun();
  const [resolution, setResolution] = useState('');
  const [isSuspending, setSuspending] = useState(false);
  const [isDeleted, setDeleted] = useState(false);
  const { message, reason, reportedBy, createdAt, state, resolvedBy } = report;
  const resolve = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      const variables = { reportId: report.id, resolution: resolution.trim() };
      await connection.mutate(ResolveReportDocument, variables);
      await onDone();
    });
  };
  return (
    <article className="report" aria-label={`Report of ${shownName(reportedBy.name)}`}>
      <p className="quiet">
        <Name of={reportedBy} /> · <time dateTime={createdAt}>{dayOf(createdAt)}</time>
      </p>
      <p>
        <bdi dir="auto">{reason}</bdi>
      </p>
      {message ? (
        <blockquote className="said">
          <Name of={message.sender} />
          <bdi dir="auto">{isDeleted ? 'Message deleted' : previewOf(message, userId)}</bdi>
          {!isDeleted && message.attachments.length > 0 && (
            <Attachments attachments={message.attachments} onOpen={({ url }) => open(url, '_blank', 'noopener')} />
          )}
        </blockquote>
      ) : (
        <p className="quiet">The message is not there any more.</p>
      )}
      <Problem text={problem} />
      {state === 'RESOLVED' ? (
        <p className="quiet">
          Resolved{resolvedBy ? <> by <Name of={resolvedBy} /></> : ''}: <bdi dir="auto">{report.resolution}</bdi>
        </p>
      ) : (
        <>
          <div className="actions">
            {message && !message.deletedAt && !isDeleted && (
              <Button
                className="secondary danger"
                isDisabled={isBusy}
                onPress={() =>
                  void run(async () => {
                    await connection.mutate(DeleteReportedDocument, { messageId: message.id });
                    setDeleted(true);
                  })
                }
              >
                Delete the message
              </Button>
            )}
            {message?.sender && (
              <Button className="secondary danger" onPress={() => setSuspending(!isSuspending)}>
                Suspend the sender …
              </Button>
            )}
          </div>
          {isSuspending && message?.sender && (
            <Suspend userId={message.sender.id} name={message.sender.name} onDone={() => setSuspending(false)} />
          )}
          <form className="inline" onSubmit={resolve}>
            <TextField value={resolution} onChange={setResolution} isRequired maxLength={500}>
              <Label>What was done</Label>
              <Input />
            </TextField>
            <Button type="submit" className="secondary" isDisabled={isBusy || resolution.trim() === ''}>
              Resolve
            </Button>
          </form>
        </>
      )}
    </article>
  );
}

const DAYS = [
  ['1', 'a day'],
  ['7', 'a week'],
  ['30', '30 days'],
  ['', 'until it is lifted'],
] as const;

interface SuspendProps {
  readonly userId: string;
  readonly name: string;
  readonly onDone: (user: ModeratedStateFragment) => void;
}

function Suspend({ userId, name, onDone }: SuspendProps) {
  const { connection } = useAccount();
  const { run, problem, isBusy } = useRun();
  const [reason, setReason] = useState('');
  const [days, setDays] = useState<string>('7');
  const suspend = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      const until = days === '' ? null : new Date(Date.now() + Number(days) * 86_400_000).toISOString();
      const { suspendUser } = await connection.mutate(SuspendUserDocument, { userId, reason: reason.trim(), until });
      if (suspendUser) onDone(suspendUser.moderatedUser);
    });
  };
  return (
    <form className="suspend" onSubmit={suspend}>
      <TextField value={reason} onChange={setReason} isRequired autoFocus maxLength={500}>
        <Label>Why {shownName(name)} is suspended</Label>
        <Input />
      </TextField>
      <label>
        For how long
        <select className="react-aria-Input" value={days} onChange={({ target }) => setDays(target.value)}>
          {DAYS.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </label>
      <Problem text={problem} />
      <div className="actions">
        <Button type="submit" className="primary is-danger" isDisabled={isBusy || reason.trim() === ''}>
          Suspend
        </Button>
      </div>
    </form>
  );
}

function People() {
  const { connection } = useAccount();
  const [search, setSearch] = useState('');
  const [isSuspended, setSuspended] = useState(false);
  const [openId, setOpenId] = useState<string | null>(null);
  const { run, problem: refused, isBusy } = useRun();
  const wanted = useRested(search.trim(), 250);
  const { nodes, problem, more, change } = usePages(`people ${isSuspended} ${wanted}`, async (after) => {
    const variables = { search: wanted === '' ? null : wanted, suspended: isSuspended ? true : null, after };
    return (await connection.query(ModeratedUsersDocument, variables)).moderation?.users ?? null;
  });
  const keep = (fresh: ModeratedStateFragment) => {
    setOpenId(null);
    change((known) => (known ?? []).map((one) => (one.user.id === fresh.user.id ? fresh : one)));
  };
  const restore = (userId: string) =>
    run(async () => {
      const { restoreUser } = await connection.mutate(RestoreUserDocument, { userId });
      if (restoreUser) keep(restoreUser.moderatedUser);
    });
  return (
    <div className="details">
      <SearchField value={search} onChange={setSearch}>
        <Label>People</Label>
        <Input placeholder="Name or mail address" />
      </SearchField>
      <div className="actions">
        <ToggleButton className="secondary" isSelected={isSuspended} onChange={setSuspended}>
          {isSuspended ? 'Show everybody' : 'Only who is suspended'}
        </ToggleButton>
      </div>
      <Problem text={problem ?? refused} />
      <ul className="members">
        {(nodes ?? []).map(({ id, user, isSuspended, suspendedUntil, reason }) => (
          <li key={id}>
            <div className="row">
              <Face id={user.id} name={user.name} />
              <span className="about">
                <Name of={user} />
                {isSuspended && (
                  <span className="quiet">
                    suspended{suspendedUntil ? ` until ${shortTimeOf(suspendedUntil)}` : ''}
                    {reason ? `: ${reason}` : ''}
                  </span>
                )}
              </span>
              {isSuspended ? (
                <Button className="secondary" isDisabled={isBusy} onPress={() => void restore(user.id)}>
                  Restore
                </Button>
              ) : (
                <Button
                  className="secondary danger"
                  aria-label={`Suspend ${shownName(user.name)}`}
                  onPress={() => setOpenId(openId === id ? null : id)}
                >
                  Suspend …
                </Button>
              )}
            </div>
            {openId === id && <Suspend userId={user.id} name={user.name} onDone={keep} />}
          </li>
        ))}
      </ul>
      {nodes?.length === 0 && <p className="quiet">Nobody is found by this.</p>}
      {more && (
        <Button className="secondary" onPress={more}>
          Show more
        </Button>
      )}
    </div>
  );
}
