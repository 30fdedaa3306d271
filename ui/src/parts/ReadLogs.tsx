/** Read the logs now: brings the index up to date, and says how far it is. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, send, type ApiError, type Live } from "../api";
import { full, percent } from "../format";
import { refetch } from "../live";
import { say } from "../say";
import { t } from "../words";

/** Reads what is new in the logs; what shows calls is fetched anew. */
export function useReading() {
  const client = useQueryClient();
  return useMutation<unknown, ApiError, void>({
    mutationFn: () => send("POST", "/api/scan", { wait: true }),
    onSuccess: () => {
      say(t("done.scanned"));
      refetch(client, ["calls"]);
      void client.invalidateQueries({ queryKey: ["read-at"] });
      // The list of calls follows no topic: a long one stays in place while it is read.
      void client.invalidateQueries({ queryKey: ["calls"] });
    },
    onError: (error) => say(t("failed.any", { message: error.message }), true),
  });
}

/** When the logs were last looked through; asked again now and then, and by whoever wants it exactly. */
export function useReadAt() {
  return useQuery({
    queryKey: ["read-at"],
    queryFn: ({ signal }) => api<{ readAt: string | null }>("/api/scan/last", { signal }),
    meta: { topics: ["calls"] },
    refetchInterval: 60_000,
  });
}

/** The sentence on when the logs were last read. */
export function readText(at: string | null): string {
  return at ? t("calls.readAt", { when: full(at) }) : t("calls.readAt.never");
}

export function ReadLogs({ primary = false }: { primary?: boolean }) {
  const reading = useReading();
  const progress = useQuery<Live>({ queryKey: ["live"], enabled: false }).data?.indexing;
  const busy = reading.isPending || Boolean(progress);
  const read = useReadAt();
  const exactly = () => void read.refetch();
  const done = progress?.bytesTotal ? percent((100 * progress.bytesDone) / progress.bytesTotal) : "";
  return (
    <button
      type="button"
      className={primary ? "primary" : undefined}
      disabled={busy}
      title={read.data && readText(read.data.readAt)}
      onPointerEnter={exactly}
      onFocus={exactly}
      onClick={() => reading.mutate()}
    >
      {t(busy ? "calls.scanning" : "calls.scan")}
      {busy && done && ` ${done}`}
    </button>
  );
}
