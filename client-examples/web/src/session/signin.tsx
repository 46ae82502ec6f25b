// Signing in: an address, then the digits that were mailed to it.
import { useEffect, useRef, useState, type FormEvent } from 'react';
import { Button, Input, Label, TextField } from 'react-aria-components';

import { askForCode, signIn, type Ending, type WebSession } from './session.js';
import { CodeBoxes } from './code-boxes.js';
import { Problem } from '../ui/parts.js';
import { sentenceOf } from '../ui/sentences.js';
import { Refused } from '../talksy/refused.js';

interface Challenge {
  readonly challenge: string;
  readonly codeLength: number;
  readonly resendAfter: number;
}

interface SignInProps {
  /** How the session that was here has ended. */
  readonly ending: Ending | null;
  readonly onSession: (session: WebSession, isNew: boolean) => void;
}

const ENDINGS: Readonly<Record<Ending, string>> = {
  refused: 'You have been signed out on this device. What you have typed is kept for you.',
  untold:
    'You are signed out on this device, but the server may not know it. Sign in again to see under Devices whether the session is there, and to end it.',
};

export function SignIn({ ending, onSession }: SignInProps) {
  const [email, setEmail] = useState('');
  const [challenge, setChallenge] = useState<Challenge | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [code, setCode] = useState('');
  const [resendAt, setResendAt] = useState(0);
  const isChecking = useRef(false);

  async function ask(event?: FormEvent) {
    event?.preventDefault();
    if (isBusy) return;
    setBusy(true);
    setProblem(null);
    try {
      const login = await askForCode(email);
      setChallenge(login);
      setCode('');
      setResendAt(Date.now() + 1000 * login.resendAfter);
    } catch (error) {
      setProblem(sentenceOf(error));
      if (error instanceof Refused && error.retryAfter) {
        setResendAt(Date.now() + 1000 * error.retryAfter);
      }
    } finally {
      setBusy(false);
    }
  }

  async function check(digits: string) {
    if (!challenge || isChecking.current) return;
    isChecking.current = true;
    setBusy(true);
    setProblem(null);
    try {
      const { session, isNewUser } = await signIn(email, challenge.challenge, digits);
      onSession(session, isNewUser);
    } catch (error) {
      setProblem(sentenceOf(error));
      setCode('');
    } finally {
      isChecking.current = false;
      setBusy(false);
    }
  }

  return (
    <main className="sign-in">
      <div className="card">
        <img src="/icon.svg" alt="" width="56" height="56" />
        <h1>Talksy</h1>
        {challenge === null ? (
          <form onSubmit={(event) => void ask(event)}>
            {ending && <p role="status">{ENDINGS[ending]}</p>}
            <p className="quiet">Sign in with your mail address. There is no password to remember.</p>
            <TextField
              type="email"
              name="email"
              autoComplete="email"
              autoFocus
              isRequired
              value={email}
              onChange={setEmail}
            >
              <Label>Mail address</Label>
              <Input placeholder="ada@example.org" />
            </TextField>
            <Button type="submit" className="primary" isDisabled={isBusy || email.trim() === ''}>
              {isBusy ? 'One moment …' : 'Continue'}
            </Button>
            {/* At the end, so that nothing moves when it comes and goes. */}
            <Problem text={problem} />
          </form>
        ) : (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              void check(code);
            }}
          >
            <p className="quiet">
              We have sent a mail to <bdi>{email.trim()}</bdi>. If it has a code, enter it here.
            </p>
            <CodeBoxes
              length={challenge.codeLength}
              value={code}
              isDisabled={isBusy}
              onChange={setCode}
              onComplete={(digits) => void check(digits)}
            />
            <Resend at={resendAt} isBusy={isBusy} onPress={() => void ask()} />
            <Button
              className="plain"
              onPress={() => {
                setChallenge(null);
                setProblem(null);
              }}
            >
              Use another address
            </Button>
            <Problem text={problem} />
          </form>
        )}
      </div>
    </main>
  );
}

/** Asks for another code, once the server sends one again. */
function Resend({ at, isBusy, onPress }: { at: number; isBusy: boolean; onPress: () => void }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [at]);
  const left = Math.max(0, Math.ceil((at - now) / 1000));
  return (
    <Button className="secondary" isDisabled={isBusy || left > 0} onPress={onPress}>
      {left > 0 ? `Send another mail in ${left} s` : 'Send another mail'}
    </Button>
  );
}
