INSERT INTO push_log (at, sku, warehouse, quantity, terms) VALUES (:now, :sku, :warehouse, :quantity, :terms)
