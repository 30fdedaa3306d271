/** Which models have no price, and how to give them one: nothing is made up for them. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, query, send, type ApiError } from "../api";
import { joined } from "../format";
import { refetch } from "../live";
import { say } from "../say";
import { t } from "../words";
import { Copy } from "./Copy";
import { useOwnFiles } from "./OwnFiles";

interface Coverage {
  models: { model: string | null; unpricedTokens: number }[];
}

const MOST = 6;

interface Props {
  asked: Parameters<typeof query>[0];
  /** Whether it stands within a card. */
  inside?: boolean;
}

export function NoPrice({ asked, inside = false }: Props) {
  const client = useQueryClient();
  const search = query({ ...asked, sort: "", direction: "", preset: "", fact: "" });
  const models = useQuery({
    queryKey: ["pricing-coverage", search],
    queryFn: ({ signal }) => api<Coverage>(`/api/pricing/coverage${search}`, { signal }),
    meta: { topics: ["calls", "settings"] },
  }).data?.models;
  const file = useOwnFiles()?.pricing;
  const make = useMutation<unknown, ApiError, void>({
    mutationFn: () => send("POST", "/api/usage/files/pricing"),
    onSuccess: () => {
      say(t("prices.own.made"));
      refetch(client, ["settings"]);
    },
    onError: (error) => say(t("failed.any", { message: error.message }), true),
  });
  const without = models?.filter(({ model, unpricedTokens }) => model && unpricedTokens > 0) ?? [];
  if (!without.length || !file) return null;
  const names = without.slice(0, MOST).map(({ model }) => model ?? "");
  return (
    <section className={inside ? "no-price" : "card no-price"}>
      <b>{t("prices.own.title", { models: joined(without.length > MOST ? [...names, "…"] : names) })}</b>
      <p className="note">{t("prices.own.text", { file: "pricing.json" })}</p>
      <p className="tools">
        <bdi className="mono" dir="ltr">
          {file.path}
        </bdi>
        <Copy text={file.path} label={t("own.file")} />
        {!file.configured && (
          <button type="button" disabled={make.isPending} onClick={() => make.mutate()}>
            {t("prices.own.make")}
          </button>
        )}
      </p>
    </section>
  );
}
