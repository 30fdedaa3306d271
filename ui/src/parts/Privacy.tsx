/** How much of names and places is shown: one state for all pages, files and reports. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, send, type ApiError, type Settings } from "../api";
import { say } from "../say";
import { t } from "../words";
import { Menu } from "./Menu";

const MODES = ["normal", "redacted", "strict"] as const;

/** Says the mode on every usage page, and changes it. */
export function PrivacyMode() {
  const client = useQueryClient();
  const mode = useQuery({
    queryKey: ["settings"],
    queryFn: ({ signal }) => api<Settings>("/api/settings", { signal }),
    meta: { topics: ["settings"] },
  }).data?.privacyMode;
  const keep = useMutation<unknown, ApiError, string>({
    mutationFn: (privacyMode) => send("PUT", "/api/settings", { privacyMode }),
    // Every figure with a name in it is another one now.
    onSuccess: () => client.invalidateQueries(),
    onError: (error) => say(t("failed.any", { message: error.message }), true),
  });
  const chosen = MODES.find((one) => one === mode);
  if (!chosen) return null;
  return (
    <Menu
      label={`${t(`calls.chip.${chosen}`)}. ${t("calls.chip.privacy.title")}`}
      quiet={chosen === "normal"}
      items={MODES.map((one) => ({
        label: t(`settings.privacy.${one}`),
        checked: one === chosen,
        run: () => keep.mutate(one),
      }))}
    >
      {t(`calls.chip.${chosen}`)} <span aria-hidden="true">▾</span>
    </Menu>
  );
}
