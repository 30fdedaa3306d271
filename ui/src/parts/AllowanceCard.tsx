/** What is left of each allowance, what may be spent on an even pace, and what was copied from Codex. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useId, useState, type ReactNode } from "react";
import { nameIn, useNames } from "../accounts";
import { copiedName, mark, windowName } from "../allowance";
import { api, send, type Allowance, type ApiError } from "../api";
import { ago, pair, percent, reset, UNKNOWN, when } from "../format";
import { useNow } from "../hooks";
import { say } from "../say";
import { t } from "../words";
import { Sign } from "./Sign";
import { copiedLeft, leftOf } from "./Sources";

interface Observed extends Pick<
  Allowance,
  "key" | "name" | "level" | "remainingPercent" | "windowMinutes" | "resetAt" | "observedAt"
> {
  source: "account" | "log";
  accountId: string | null;
  runsOutAt: string | null;
  leftOnPace: { hour: number | null; today: number | null };
}

interface Copied {
  key: string;
  label: string;
  remainingPercent: number;
  resetText: string | null;
  capturedAt: string | null;
}

const TOPIC = ["allowances"];
// As Codex writes it, in any language.
const EXAMPLE = "5h 79% 6:50 PM Weekly 33% Jun 7";

export function AllowanceCard() {
  const now = useNow();
  const accounts = useNames();
  const found = useQuery({
    queryKey: TOPIC,
    queryFn: ({ signal }) => api<{ observed: Observed[]; copied: Copied[] }>("/api/allowance", { signal }),
    meta: { topics: ["accounts", "calls"] },
  }).data;
  if (!found) return null;
  return (
    <section className="card">
      <div className="card-head">
        <h2>{t("allowance.title")}</h2>
        <span className="note">{t("allowance.source")}</span>
      </div>
      {found.observed.length + found.copied.length === 0 && <p className="note">{t("allowance.empty")}</p>}
      {found.observed.length + found.copied.length > 0 && (
        <div className="scroll" tabIndex={0} role="group" aria-label={t("allowance.title")}>
          <table className="unbroken allowance">
            <thead>
              <tr>
                <th scope="col">{t("filter.account")}</th>
                <th scope="col">{t("allowance.window")}</th>
                {(["left", "hour", "today"] as const).map((key) => (
                  <th scope="col" className="num" key={key}>
                    {t(`allowance.${key}`)}
                  </th>
                ))}
                <th scope="col">{t("allowance.reset")}</th>
                <th scope="col">{t("allowance.out")}</th>
                <th scope="col" className="wide-only">
                  {t("allowance.seen")}
                </th>
              </tr>
            </thead>
            <tbody>
              {found.observed.map((one) => (
                <Row
                  key={`${one.accountId}${one.key}`}
                  who={one.source === "log" ? t("allowance.log") : (nameIn(accounts, one.accountId) ?? UNKNOWN)}
                  window={windowName(one, one.key === "primary" ? "primary" : "secondary")}
                  level={leftOf(one, now) === null ? null : one.level}
                  over={one.remainingPercent === null && Date.parse(one.resetAt ?? "") <= now}
                  figures={[leftOf(one, now), one.leftOnPace.hour, one.leftOnPace.today]}
                  reset={reset(one.resetAt, now)}
                  out={one.runsOutAt ? when(one.runsOutAt, now) : UNKNOWN}
                  seen={ago(one.observedAt, now)}
                />
              ))}
              {found.copied.map((one) => (
                <Row
                  key={`copied${one.key}`}
                  who={t("allowance.copied")}
                  window={<bdi>{copiedName(one)}</bdi>}
                  figures={[copiedLeft(one, now), null, null]}
                  reset={one.resetText ? <bdi>{one.resetText}</bdi> : UNKNOWN}
                  out={UNKNOWN}
                  seen={one.capturedAt ? ago(one.capturedAt, now) : UNKNOWN}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      <Paste />
    </section>
  );
}

/** A level as a word; "" where there is nothing to mind. */
function told(level: Allowance["level"]): string {
  return level === "low" || level === "critical" || level === "spent" ? t(`meter.${level}`) : "";
}

interface RowProps {
  who: string;
  window: ReactNode;
  level?: Allowance["level"];
  /** What was seen holds no more, and nobody has told since. */
  over?: boolean;
  figures: (number | null)[];
  reset: ReactNode;
  out: string;
  seen: string;
}

function Row({ who, window, level = null, over = false, figures, reset: resets, out, seen }: RowProps) {
  return (
    <tr title={pair(t("allowance.seen"), seen)}>
      <th scope="row">
        <bdi>{who}</bdi>
      </th>
      <td>{window}</td>
      {figures.map((figure, index) => (
        <td key={index} className="num">
          {index === 0 && <Sign mark={mark(level)} />}
          {index === 0 && over && <span className="note">{t("allowance.over")} · </span>}
          {index === 0 && told(level) && <span className="note">{told(level)} · </span>}
          {figure === null ? UNKNOWN : percent(figure)}
          {index === 0 && <span className="narrow-only note">{seen}</span>}
        </td>
      ))}
      <td>{resets}</td>
      <td>{out}</td>
      <td className="muted wide-only">{seen}</td>
    </tr>
  );
}

/** Keep what Codex shows under /status, for who has no account here. */
function Paste() {
  const [text, setText] = useState("");
  const wrong = useId();
  const client = useQueryClient();
  const keep = useMutation<unknown, ApiError, string>({
    mutationFn: (copied) => send("POST", "/api/allowance/parse", { text: copied, save: true }),
    onSuccess: () => {
      setText("");
      say(t("allowance.kept"));
      void client.invalidateQueries({ queryKey: TOPIC });
    },
  });
  return (
    <form
      className="paste"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) keep.mutate(text);
      }}
    >
      <label className="field">
        <span className="muted">{t("allowance.paste")}</span>
        <input
          value={text}
          maxLength={2000}
          placeholder={EXAMPLE}
          dir="ltr"
          aria-invalid={keep.isError || undefined}
          aria-describedby={keep.isError ? wrong : undefined}
          onChange={(event) => {
            setText(event.target.value);
            keep.reset();
          }}
        />
      </label>
      <button type="submit" disabled={!text.trim() || keep.isPending}>
        {t("do.save")}
      </button>
      {keep.isError && (
        <p className="error" role="alert" id={wrong}>
          {t("failed.any", { message: keep.error.message })}
        </p>
      )}
    </form>
  );
}
