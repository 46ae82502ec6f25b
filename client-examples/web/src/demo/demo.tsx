// The page of `talksy demo`: two people side by side, and a plug that is pulled from both.
import { StrictMode, useCallback, useEffect, useRef, useState } from 'react';
import { createRoot } from 'react-dom/client';

import { openGraphiql } from './graphiql.js';
import { isFaultless } from './judge.js';
import type { Pane } from './pane.js';
import type { Report } from './compare.js';
import { askState, isThisRun, ready, type Counts } from './run.js';
import '../ui/style.css';
import './demo.css';

const PEOPLE = [
  { id: 'ada', name: 'Ada Lovelace' },
  { id: 'grace', name: 'Grace Hopper' },
] as const;
type Person = (typeof PEOPLE)[number]['id'];
type Reports = Readonly<Partial<Record<Person, Report | string>>>;

const NOTHING: Counts = { sent: 0, edited: 0, deleted: 0, reacted: 0 };
const since = (now: Counts, before: Counts): Counts => ({
  sent: now.sent - before.sent,
  edited: now.edited - before.edited,
  deleted: now.deleted - before.deleted,
  reacted: now.reacted - before.reacted,
});

/** What the bot does: asked each second, by which it goes on. */
function useBot(): Counts {
  const [bot, setBot] = useState(NOTHING);
  useEffect(() => {
    let isOver = false;
    const ask = () =>
      askState().then(
        (state) => {
          // It was started anew: what this page shows is thrown away.
          if (!isThisRun(state)) location.reload();
          else if (!isOver) setBot(state.bot);
        },
        () => {},
      );
    void ask();
    const timer = setInterval(() => void ask(), 1_000);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, []);
  return bot;
}

function Demo() {
  const frames = useRef<Partial<Record<Person, HTMLIFrameElement | null>>>({});
  const [areIn, setIn] = useState<ReadonlySet<Person>>(new Set());
  const [areThere, setThere] = useState(false);
  const [isPulled, setPulled] = useState(false);
  const [isComparing, setComparing] = useState(false);
  const [reports, setReports] = useState<Reports>({});
  const [before, setBefore] = useState<Counts | null>(null);
  const [missed, setMissed] = useState<Counts | null>(null);
  const bot = useBot();

  const pane = useCallback((id: Person): Pane | undefined => frames.current[id]?.contentWindow?.talksyPane, []);
  const panes = () => PEOPLE.flatMap(({ id }) => pane(id) ?? []);

  useEffect(() => {
    const look = () => {
      setThere(PEOPLE.every(({ id }) => pane(id)));
      setIn(new Set(PEOPLE.map(({ id }) => id).filter((id) => pane(id)?.isIn())));
    };
    look();
    addEventListener('pane', look);
    return () => removeEventListener('pane', look);
  }, [pane]);

  async function compareAll() {
    setComparing(true);
    setReports({});
    await Promise.all(
      PEOPLE.map(async ({ id }) => {
        const report = await (pane(id)?.compare() ?? Promise.reject(new Error('Not signed in.'))).catch(String);
        setReports((known) => ({ ...known, [id]: report }));
      }),
    );
    setComparing(false);
  }

  async function toggle() {
    // What the bot has done up to now, and not up to the last second.
    const { bot: now } = await askState();
    if (isPulled) {
      setMissed(before && since(now, before));
      for (const one of panes()) one.plugIn();
      setPulled(false);
      await compareAll();
    } else {
      for (const one of panes()) one.pull();
      setReports({});
      setMissed(null);
      setBefore(now);
      setPulled(true);
    }
  }

  const areBothIn = areIn.size === PEOPLE.length;
  const unseen = isPulled && before ? since(bot, before) : missed;
  return (
    <div className={`demo ${isPulled ? 'is-pulled' : ''}`}>
      <header className="stage">
        <img src="/icon.svg" alt="" width="32" height="32" />
        <h1>Talksy demo</h1>
        {areBothIn ? (
          <button type="button" className="primary" disabled={isComparing} onClick={() => void toggle()}>
            {isPulled ? 'Put the plug back in' : 'Pull the plug'}
          </button>
        ) : (
          <button
            type="button"
            className="primary"
            disabled={!areThere}
            onClick={() => {
              for (const one of panes()) void one.enter();
            }}
          >
            Sign both in
          </button>
        )}
        {areBothIn && !isPulled && (
          <button type="button" className="secondary" disabled={isComparing} onClick={() => void compareAll()}>
            {isComparing ? 'Comparing …' : 'Compare with the server'}
          </button>
        )}
        <p className="told" role="status">
          {!areBothIn ? (
            'Sign both in, write from one to the other, and pull the plug: the bot goes on meanwhile.'
          ) : unseen === null ? (
            `The bot has sent ${bot.sent}, edited ${bot.edited} and deleted ${bot.deleted} messages.`
          ) : (
            <>
              {isPulled ? 'Unplugged. Meanwhile the bot has ' : 'While the plug was out, the bot has '}
              <b>
                sent {unseen.sent}, edited {unseen.edited}, deleted {unseen.deleted}
              </b>
              {isPulled ? ': neither page sees it.' : '.'}
            </>
          )}
        </p>
      </header>
      <main className="panes">
        {PEOPLE.map(({ id, name }) => (
          <section key={id} aria-label={name}>
            <header className="person">
              <h2>{name}</h2>
              <Outcome report={reports[id]} />
              {areIn.has(id) && (
                <button
                  type="button"
                  className="plain"
                  onClick={() => {
                    const one = pane(id);
                    if (one) openGraphiql(one.token, one.place);
                  }}
                >
                  GraphiQL as {name.split(' ')[0]}
                </button>
              )}
            </header>
            <iframe
              ref={(frame) => {
                frames.current[id] = frame;
              }}
              title={name}
              src={`/demo/pane?as=${id}`}
            />
          </section>
        ))}
      </main>
    </div>
  );
}

/** What a comparison has found. */
function Outcome({ report }: { report: Report | string | undefined }) {
  if (report === undefined) return <p className="outcome" />;
  if (typeof report === 'string') return <p className="outcome is-bad">{report}</p>;
  const { lost, doubled, disordered, stale, strange, compared, waited } = report;
  return (
    <p className={`outcome ${isFaultless(report) ? 'is-good' : 'is-bad'}`} data-compared={compared}>
      <b>
        {lost} lost, {doubled} doubled, {disordered} out of order
      </b>
      , {stale} out of date{strange > 0 && `, ${strange} that the server does not have`}, of {compared} messages
      {waited >= 100 && `, after ${(waited / 1000).toFixed(1)} s`}
    </p>
  );
}

const root = document.getElementById('root');
if (!root) throw new Error('The page has no root.');
void ready().then(() =>
  createRoot(root).render(
    <StrictMode>
      <Demo />
    </StrictMode>,
  ),
);
