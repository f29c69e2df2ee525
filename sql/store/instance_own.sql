UPDATE instance SET account = :account, erp = :erp, machine = :machine WHERE id = 1
