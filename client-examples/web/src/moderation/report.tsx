// Tells those who run the server of a message.
import { useState, type FormEvent } from 'react';
import { Button, Label, TextArea, TextField } from 'react-aria-components';

import { previewOf } from '../chat/preview.js';
import { ReportMessageDocument } from '../generated/graphql.js';
import type { Message } from '../replica/database.js';
import { Name, Problem, useAccount, useRun } from '../ui/parts.js';

interface ReportProps {
  readonly message: Message;
  readonly onClose: () => void;
}

export default function Report({ message, onClose }: ReportProps) {
  const { connection, userId } = useAccount();
  const { run, problem, isBusy } = useRun();
  const [reason, setReason] = useState('');
  const [isDone, setDone] = useState(false);
  const send = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      await connection.mutate(ReportMessageDocument, { messageId: message.id, reason: reason.trim() });
      setDone(true);
    });
  };
  if (isDone) {
    return (
      <>
        <p role="status">Thank you. Those who run this server will look at it.</p>
        <div className="actions">
          <Button className="primary" autoFocus onPress={onClose}>
            Done
          </Button>
        </div>
      </>
    );
  }
  return (
    <form onSubmit={send}>
      <blockquote className="said">
        <Name of={message.sender} />
        <bdi>{previewOf(message, userId).slice(0, 200)}</bdi>
      </blockquote>
      <TextField value={reason} onChange={setReason} isRequired autoFocus maxLength={1000}>
        <Label>What is wrong with it?</Label>
        <TextArea rows={3} />
      </TextField>
      <p className="quiet">Those who run this server see the message and your reason. Its sender is not told.</p>
      <Problem text={problem} />
      <div className="actions">
        <Button type="submit" className="primary" isDisabled={isBusy || reason.trim() === ''}>
          Report
        </Button>
      </div>
    </form>
  );
}
