UPDATE skus SET product = :product WHERE sku = :sku
