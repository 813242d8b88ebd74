eckart lora merge A.npy adapter -o merged
