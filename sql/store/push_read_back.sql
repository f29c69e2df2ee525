UPDATE pushes SET read_back_at = :now WHERE sku = :sku AND warehouse = :warehouse
