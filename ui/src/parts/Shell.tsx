/** The frame of every page: rail, notices, what was just done, and the keys. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useState, type ReactNode } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { api, send, type ApiError, type Live, type Session, type Settings } from "../api";
import { count } from "../format";
import { PLACES, useKeys } from "../keys";
import { LANGUAGES } from "../languages";
import { hush, say, useSaid } from "../say";
import { going, USAGE_PATHS } from "../usage";
import { told } from "../told";
import { t } from "../words";
import { Dialog } from "./Dialog";

const SECTIONS = [
  { title: null, places: ["/", "/accounts"] },
  { title: "nav.usage", places: USAGE_PATHS },
  { title: "nav.proxy", places: ["/requests", "/keys"] },
  { title: null, places: ["/settings"] },
] as const;

interface Props {
  live: Live | undefined;
  away: boolean;
  canSignOut: boolean;
  children: ReactNode;
}

export function Shell({ live, away, canSignOut, children }: Props) {
  const [help, setHelp] = useState(false);
  useKeys(useCallback(() => setHelp(true), []));
  return (
    <>
      <a className="skip" href="#content">
        {t("app.skip")}
      </a>
      <div className="shell">
        <Rail help={() => setHelp(true)} canSignOut={canSignOut} />
        <main id="content" tabIndex={-1}>
          <Notices live={live} away={away} />
          {children}
        </main>
      </div>
      <Foot />
      <Keys open={help} close={() => setHelp(false)} />
    </>
  );
}

function Rail({ help, canSignOut }: { help: () => void; canSignOut: boolean }) {
  const [path] = useLocation();
  const search = useSearch();
  const client = useQueryClient();
  const leave = () => {
    // First, so that no page asks for anything more meanwhile.
    client.setQueryData<Session>(["session"], (now) => now && { ...now, authenticated: false });
    return send("DELETE", "/api/session").finally(() => location.assign("/"));
  };
  const here = (place: string) =>
    place === "/" ? path === "/" : path === place || path.startsWith(`${place}/`);
  return (
    <nav className="rail" aria-label={t("app.menu")}>
      <Link href="/" className="brand">
        {t("app.name")}
      </Link>
      {SECTIONS.map(({ title, places }) => (
        <div key={places[0]} className="rail-part">
          {title && <h2>{t(title)}</h2>}
          <ul>
            {PLACES.filter((place) => (places as readonly string[]).includes(place.path)).map((place) => (
              <li key={place.path}>
                <Link href={going(place.path, path, search)} aria-current={here(place.path) ? "page" : undefined}>
                  {t(place.word)}
                </Link>
              </li>
            ))}
          </ul>
        </div>
      ))}
      <div className="rail-foot">
        <button
          type="button"
          className="quiet"
          onClick={help}
          aria-label={t("nav.help")}
          title={t("nav.help")}
        >
          <kbd>?</kbd>
        </button>
        <SpokenLanguage />
        {canSignOut && (
          <button
            type="button"
            className="quiet"
            onClick={() => void leave()}
          >
            {t("nav.signOut")}
          </button>
        )}
      </div>
    </nav>
  );
}

/** The language of every page: the same choice as in the settings. */
function SpokenLanguage() {
  const client = useQueryClient();
  const chosen = useQuery({
    queryKey: ["settings"],
    queryFn: ({ signal }) => api<Settings>("/api/settings", { signal }),
    meta: { topics: ["settings"] },
  }).data?.language;
  const keep = useMutation<unknown, ApiError, string>({
    mutationFn: (language) => send("PUT", "/api/settings", { language }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["settings"] }),
    onError: (error) => say(t("failed.any", { message: error.message }), true),
  });
  if (typeof chosen !== "string") return null;
  return (
    <label className="language" title={t("settings.language")}>
      <Globe />
      <select
        className="quiet"
        aria-label={t("settings.language")}
        title={t("settings.language")}
        value={keep.isPending ? keep.variables : chosen}
        onChange={(event) => keep.mutate(event.target.value)}
      >
        <option value="">{t("settings.language.system")}</option>
        {LANGUAGES.map(({ code, name }) => (
          <option key={code} value={code} lang={code}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function Globe() {
  return (
    <svg width="14" height="14" viewBox="0 0 14 14" fill="none" stroke="currentColor" aria-hidden="true">
      <circle cx="7" cy="7" r="6" />
      <path d="M1 7h12M7 1c-4 4-4 8 0 12M7 1c4 4 4 8 0 12" />
    </svg>
  );
}

function Notices({ live, away }: { live: Live | undefined; away: boolean }) {
  const indexing = live?.indexing;
  return (
    <div className="notices">
      {away && (
        <p className="notice" role="alert">
          <span className="sign sign-crit" aria-hidden="true">
            ●
          </span>
          {t("away.bar")}
        </p>
      )}
      {live?.notices.map((text, index) => (
        <p className="notice" key={text}>
          <span className="sign sign-warn" aria-hidden="true">
            ▲
          </span>
          {told(text, live.noticesSaid?.[index])}
        </p>
      ))}
      {indexing && indexing.filesTotal > 0 && (
        <div className="notice progress">
          <span>
            {t("notice.indexing", { done: count(indexing.filesDone), total: count(indexing.filesTotal) })}
          </span>
          <progress
            aria-label={t("notice.indexingLabel")}
            max={indexing.bytesTotal || indexing.filesTotal}
            value={indexing.bytesTotal ? indexing.bytesDone : indexing.filesDone}
          />
        </div>
      )}
    </div>
  );
}

function Foot() {
  const said = useSaid();
  return (
    <div className="foot" role="status" aria-live="polite">
      {said && (
        <p className="said">
          {said.failed && (
            <span className="sign sign-crit" aria-hidden="true">
              ●
            </span>
          )}
          {said.text}
          <button type="button" className="quiet" aria-label={t("do.close")} onClick={hush}>
            ✕
          </button>
        </p>
      )}
    </div>
  );
}

function Keys({ open, close }: { open: boolean; close: () => void }) {
  return (
    <Dialog title={t("help.title")} open={open} close={close}>
      <dl className="keys">
        {PLACES.map(({ key, word }) => (
          <div key={key}>
            <dt>
              <kbd>g</kbd> <kbd>{key}</kbd>
            </dt>
            <dd>{t("help.goto", { page: t(word) })}</dd>
          </div>
        ))}
        <Key keys={["/"]} text={t("help.search")} />
        <Key keys={["j", "k"]} text={t("help.rows")} />
        <Key keys={["Enter"]} text={t("help.openRow")} />
        <Key keys={["Esc"]} text={t("help.close")} />
        <Key keys={["?"]} text={t("help.this")} />
      </dl>
    </Dialog>
  );
}

function Key({ keys, text }: { keys: string[]; text: string }) {
  return (
    <div>
      <dt>
        {keys.map((key) => (
          <kbd key={key}>{key}</kbd>
        ))}
      </dt>
      <dd>{text}</dd>
    </div>
  );
}
