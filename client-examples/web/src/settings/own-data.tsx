// A copy of all that the server has of the viewer, and the end of their account.
import { useEffect, useRef, useState, type FormEvent } from 'react';
import { Button, Input, Label, TextField } from 'react-aria-components';

import { bytesOf } from '../files/prepare.js';
import { DeleteAccountDocument, RequestAccountDeletionDocument } from '../generated/graphql.js';
import { digitsOf } from '../session/code-boxes.js';
import { Problem, useAccount, useRun } from '../ui/parts.js';
import { Refused, type ErrorEntry } from '../talksy/refused.js';

interface OwnDataProps {
  readonly mayExport: boolean;
  readonly mayDelete: boolean;
}

export const OwnData = ({ mayExport, mayDelete }: OwnDataProps) => (
  <div className="details">
    {mayExport && <Export />}
    {mayDelete && <Deletion />}
  </div>
);

function Export() {
  const { session } = useAccount();
  const { run, problem, isBusy } = useRun();
  const [got, setGot] = useState<number | null>(null);
  const ending = useRef(new AbortController());
  useEffect(() => () => ending.current.abort(), []);

  const load = () =>
    run(async () => {
      ending.current = new AbortController();
      const response = await session.download('/export', ending.current.signal);
      if (!response.ok || !response.body) throw await refusalOf(response);
      // The browser keeps what is large on disk, and the file is there whole or not at all.
      const blob = await response.blob();
      setGot(blob.size);
      save(blob, nameOf(response));
    });

  return (
    <section className="setting">
      <h3>A copy of your data</h3>
      <p className="quiet">Your profile, your chats and messages and your files, in one archive.</p>
      <Problem text={problem} />
      {got !== null && (
        <p className="quiet" role="status">
          {isBusy || problem ? '' : `Done: ${bytesOf(got)}.`}
        </p>
      )}
      <div className="actions">
        <Button className="secondary" isDisabled={isBusy} onPress={() => void load()}>
          {isBusy ? 'Loading …' : 'Download'}
        </Button>
        {isBusy && (
          <Button className="secondary" onPress={() => ending.current.abort()}>
            Cancel
          </Button>
        )}
      </div>
    </section>
  );
}

async function refusalOf(response: Response): Promise<unknown> {
  const { errors } = (await response.json().catch(() => ({}))) as { errors?: ErrorEntry[] };
  return errors?.[0] ? new Refused(errors[0]) : new TypeError(`The export was answered ${response.status}.`);
}

/** What the server calls the file. */
const nameOf = ({ headers }: Response): string =>
  /filename="([^"\\/]+)"/.exec(headers.get('content-disposition') ?? '')?.[1] ?? 'talksy-export.tar';

function save(blob: Blob, name: string) {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function Deletion() {
  const account = useAccount();
  const { connection } = account;
  const { run, problem, isBusy } = useRun();
  const [challenge, setChallenge] = useState<string | null>(null);
  const [code, setCode] = useState('');

  const ask = () =>
    run(async () => {
      const { requestAccountDeletion } = await connection.mutate(RequestAccountDeletionDocument, {});
      setChallenge(requestAccountDeletion?.challenge ?? null);
      setCode('');
    });
  const erase = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      await connection.mutate(DeleteAccountDocument, { challenge: challenge ?? '', code: digitsOf(code) });
      await account.forget();
    });
  };

  return (
    <section className="setting">
      <h3>Delete your account</h3>
      <p className="quiet">
        Your profile, your messages and your files are erased for good, on the server and on this device. This cannot
        be undone.
      </p>
      {challenge === null ? (
        <>
          <Problem text={problem} />
          <div className="actions">
            <Button className="secondary danger" isDisabled={isBusy} onPress={() => void ask()}>
              Delete my account …
            </Button>
          </div>
        </>
      ) : (
        <form onSubmit={erase}>
          <p>We have sent you a mail with a code. Enter it here to go on.</p>
          <TextField value={code} onChange={setCode} autoFocus isRequired autoComplete="one-time-code" inputMode="numeric">
            <Label>Code from the mail</Label>
            <Input />
          </TextField>
          <Problem text={problem} />
          <div className="actions">
            <Button type="submit" className="primary is-danger" isDisabled={isBusy || digitsOf(code).length < 6}>
              Delete for good
            </Button>
            <Button className="secondary" isDisabled={isBusy} onPress={() => setChallenge(null)}>
              Keep my account
            </Button>
          </div>
        </form>
      )}
    </section>
  );
}
