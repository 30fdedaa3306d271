/** The forms that set, change and remove the password of the dashboard. */
import { useMutation } from "@tanstack/react-query";
import { useId, useState, type FormEvent } from "react";
import { send, type ApiError } from "../api";
import { t } from "../words";
import { Buttons } from "./Buttons";

const SHORTEST = 8;

interface Props {
  close: () => void;
  done: (said: string) => void;
}

interface FieldProps {
  label: string;
  value: string;
  change: (value: string) => void;
  complete: "current-password" | "new-password";
  first?: boolean;
  hint?: string;
}

function Secret({ label, value, change, complete, first = false, hint }: FieldProps) {
  const id = useId();
  return (
    <div className="stack tight">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="password"
        required
        autoFocus={first}
        autoComplete={complete}
        value={value}
        aria-describedby={hint ? `${id}-hint` : undefined}
        onChange={(event) => change(event.target.value)}
      />
      {hint && (
        <p className="note" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

/** A password twice, so that a slip of the finger locks nobody out. */
function useTwice() {
  const [wanted, setWanted] = useState("");
  const [again, setAgain] = useState("");
  const problem =
    [...wanted.trim()].length < SHORTEST
      ? t("security.password.short")
      : wanted !== again
        ? t("security.password.differs")
        : "";
  const fields = (first: boolean) => (
    <>
      <Secret
        label={t("security.password.new")}
        value={wanted}
        change={setWanted}
        complete="new-password"
        first={first}
        hint={t("security.password.hint")}
      />
      <Secret
        label={t("security.password.again")}
        value={again}
        change={setAgain}
        complete="new-password"
      />
    </>
  );
  return { wanted, problem, fields };
}

function useSend(method: string, path: string, done: () => void) {
  return useMutation<unknown, ApiError, unknown>({
    mutationFn: (body) => send(method, `/api/dashboard-auth/password${path}`, body),
    onSuccess: done,
  });
}

interface FormProps {
  /** Checked only once it was sent. */
  problem: string;
  save: { mutate: (body: unknown) => void; isPending: boolean; error: ApiError | null };
  body: unknown;
  word: string;
  danger?: boolean;
  close: () => void;
  children: React.ReactNode;
}

function Form({ problem, save, body, word, danger = false, close, children }: FormProps) {
  const [tried, setTried] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (!problem) save.mutate(body);
  };
  const wrong = (tried && problem) || save.error?.message;
  return (
    <form className="stack" onSubmit={submit}>
      {children}
      {wrong && (
        <p className="error" role="alert">
          {wrong}
        </p>
      )}
      <Buttons close={close} busy={save.isPending} word={word} danger={danger} />
    </form>
  );
}

export function SetPassword({ close, done }: Props) {
  const { wanted, problem, fields } = useTwice();
  const save = useSend("POST", "/setup", () => done(t("security.password.isSet")));
  return (
    <Form
      problem={problem}
      save={save}
      body={{ password: wanted }}
      word={t("security.password.set")}
      close={close}
    >
      <p className="note">{t("security.password.setText")}</p>
      {fields(true)}
    </Form>
  );
}

export function ChangePassword({ close, done }: Props) {
  const [present, setPresent] = useState("");
  const { wanted, problem, fields } = useTwice();
  const save = useSend("POST", "/change", () => done(t("security.password.isChanged")));
  return (
    <Form
      problem={problem}
      save={save}
      body={{ currentPassword: present, newPassword: wanted }}
      word={t("security.password.change")}
      close={close}
    >
      <p className="note">{t("security.password.changeText")}</p>
      <Secret
        label={t("security.password.present")}
        value={present}
        change={setPresent}
        complete="current-password"
        first
      />
      {fields(false)}
    </Form>
  );
}

export function RemovePassword({ close, done }: Props) {
  const [present, setPresent] = useState("");
  const save = useSend("DELETE", "", () => done(t("security.password.isRemoved")));
  return (
    <Form
      problem=""
      save={save}
      body={{ password: present }}
      word={t("security.password.remove")}
      danger
      close={close}
    >
      <p>{t("security.password.removeText")}</p>
      <Secret
        label={t("security.password.present")}
        value={present}
        change={setPresent}
        complete="current-password"
        first
      />
    </Form>
  );
}
