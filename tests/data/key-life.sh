# The life of an API key by curl and jq, as users of codex-lb have it in their notes:
# needs BASE_URL, ADMIN_TOKEN and a file auth.json. Prints "== N" before each step.
auth=(-H "Authorization: Bearer $ADMIN_TOKEN")
json=(-H "Content-Type: application/json")
step() { echo "== $1"; }

step 1 # import an account
curl -sS -X POST "$BASE_URL/api/accounts/import" "${auth[@]}" \
  -F "auth_json=@./auth.json;type=application/json" | jq

step 2 # what is left
curl -sS "$BASE_URL/api/usage/summary" "${auth[@]}" | jq '{
    primaryRemainingPercent: .primaryWindow.remainingPercent,
    secondaryRemainingPercent: (if .secondaryWindow then .secondaryWindow.remainingPercent else null end),
    primaryResetAt: .primaryWindow.resetAt,
    secondaryResetAt: (if .secondaryWindow then .secondaryWindow.resetAt else null end)
  }'

step 3 # ask clients for keys: read all settings, change one, send all back
CURRENT_SETTINGS=$(curl -sS "$BASE_URL/api/settings" "${auth[@]}")
echo "$CURRENT_SETTINGS" | jq '.apiKeyAuthEnabled = true' |
  curl -sS -X PUT "$BASE_URL/api/settings" "${auth[@]}" "${json[@]}" -d @- | jq

step 4 # make a key
CREATE_OUTPUT=$(curl -sS -X POST "$BASE_URL/api/api-keys/" "${auth[@]}" "${json[@]}" -d '{
    "name": "ops-key",
    "allowedModels": ["gpt-5.2"],
    "limits": [
      { "limitType": "total_tokens", "limitWindow": "weekly", "maxValue": 2500000 },
      { "limitType": "total_tokens", "limitWindow": "5h", "maxValue": 500000 },
      { "limitType": "cost_usd", "limitWindow": "monthly", "maxValue": 10000000 }
    ]
  }')
echo "$CREATE_OUTPUT" | jq
KEY_ID=$(echo "$CREATE_OUTPUT" | jq -r '.id')

step 5 # list the keys
curl -sS "$BASE_URL/api/api-keys/" "${auth[@]}" | jq '[.[] | {
    id, name, keyPrefix, isActive, allowedModels, expiresAt
  }]'

step 6 # what the key has used
curl -sS "$BASE_URL/api/api-keys/" "${auth[@]}" | jq --arg key "$KEY_ID" '
    .[] | select(.id == $key) | {
      id, name,
      limits: (.limits | map(
        if .limitType == "cost_usd" then
          { type: .limitType, window: .limitWindow, model: (.modelFilter // "all"),
            currentUsd: (.currentValue / 1000000), maxUsd: (.maxValue / 1000000) }
        else
          { type: .limitType, window: .limitWindow, model: (.modelFilter // "all"),
            current: .currentValue, max: .maxValue }
        end))
    }'

step 7 # edit it
curl -sS -X PATCH "$BASE_URL/api/api-keys/$KEY_ID" "${auth[@]}" "${json[@]}" -d '{
    "name": "ops-key-renamed", "allowedModels": ["gpt-5.2"], "isActive": true
  }' | jq

step 8 # edit its limits
curl -sS -X PATCH "$BASE_URL/api/api-keys/$KEY_ID" "${auth[@]}" "${json[@]}" -d '{
    "limits": [
      { "limitType": "total_tokens", "limitWindow": "5h", "maxValue": 300000 },
      { "limitType": "total_tokens", "limitWindow": "weekly", "maxValue": 2000000 },
      { "limitType": "cost_usd", "limitWindow": "monthly", "maxValue": 12000000 }
    ]
  }' | jq

step 9 # reset its counters
curl -sS -X PATCH "$BASE_URL/api/api-keys/$KEY_ID" "${auth[@]}" "${json[@]}" \
  -d '{ "resetUsage": true }' | jq

step 10 # a new secret
REGEN_OUTPUT=$(curl -sS -X POST "$BASE_URL/api/api-keys/$KEY_ID/regenerate" "${auth[@]}")
echo "$REGEN_OUTPUT" | jq
CLIENT_KEY=$(echo "$REGEN_OUTPUT" | jq -r '.key')

step 11 # the client's side
curl -sS "$BASE_URL/v1/models" -H "Authorization: Bearer $CLIENT_KEY" | jq

step 12 # delete it
curl -sS -X DELETE "$BASE_URL/api/api-keys/$KEY_ID" "${auth[@]}" -i
