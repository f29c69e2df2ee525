UPDATE attempts SET remito_seq = :seq WHERE order_id = :order_id AND kind = 'movement' AND state = 'DONE' AND remito_seq IS NULL AND operation GLOB 'S*'
